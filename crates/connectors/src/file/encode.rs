//! From records to bytes: text, CSV, JSON lines.

use std::marker::PhantomData;

use serde::Serialize;

/// How the records of a file are written.
pub trait RecordFormat<In>: Clone + Send + Sync + 'static {
    /// Writes one file.
    type Encoder: RecordEncoder<In>;

    /// For a file that begins.
    fn encoder(&self) -> Self::Encoder;
}

/// Writes the records of one file.
pub trait RecordEncoder<In>: Send + 'static {
    /// Appends a record with its end.
    fn encode(&mut self, row: &In) -> Result<(), String>;

    /// Bytes appended since they were last taken.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the bytes.
    fn take(&mut self) -> Result<Vec<u8>, String>;
}

/// Each record is a line that a function appends; the line end is added.
#[derive(Debug, Clone)]
pub struct TextEncoding<F>(F);

impl<F> TextEncoding<F> {
    /// With that function.
    pub fn new<In>(format: F) -> Self
    where
        F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
    {
        Self(format)
    }
}

impl<In, F> RecordFormat<In> for TextEncoding<F>
where
    F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
{
    type Encoder = TextEncoder<F>;

    fn encoder(&self) -> TextEncoder<F> {
        TextEncoder {
            format: self.0.clone(),
            lines: String::new(),
        }
    }
}

/// Writes lines.
pub struct TextEncoder<F> {
    format: F,
    lines: String,
}

impl<In, F: FnMut(&In, &mut String) + Send + 'static> RecordEncoder<In> for TextEncoder<F> {
    fn encode(&mut self, row: &In) -> Result<(), String> {
        (self.format)(row, &mut self.lines);
        self.lines.push('\n');
        Ok(())
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn take(&mut self) -> Result<Vec<u8>, String> {
        Ok(std::mem::take(&mut self.lines).into_bytes())
    }
}

/// Each line is a JSON value.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonLinesEncoding;

impl<In: Serialize> RecordFormat<In> for JsonLinesEncoding {
    type Encoder = JsonLinesEncoder;

    fn encoder(&self) -> JsonLinesEncoder {
        JsonLinesEncoder(Vec::new())
    }
}

/// Writes JSON lines.
pub struct JsonLinesEncoder(Vec<u8>);

impl<In: Serialize> RecordEncoder<In> for JsonLinesEncoder {
    fn encode(&mut self, row: &In) -> Result<(), String> {
        let before = self.0.len();
        serde_json::to_writer(&mut self.0, row).map_err(|error| {
            self.0.truncate(before);
            error.to_string()
        })?;
        self.0.push(b'\n');
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self) -> Result<Vec<u8>, String> {
        Ok(std::mem::take(&mut self.0))
    }
}

/// Comma-separated values, as RFC 4180 has them.
#[derive(Debug)]
pub struct CsvEncoding<T> {
    delimiter: u8,
    quote: u8,
    header: bool,
    types: PhantomData<fn(T)>,
}

impl<T> Clone for CsvEncoding<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> Default for CsvEncoding<T> {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            header: true,
            types: PhantomData,
        }
    }
}

impl<T> CsvEncoding<T> {
    /// Commas, double quotes, a header line where records are structs.
    pub fn new() -> Self {
        Self::default()
    }

    /// What separates fields; default: `,`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// What encloses fields that need it; default: `"`.
    #[must_use]
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self
    }

    /// Files get no header line.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    fn writer(&self, header: bool) -> csv::Writer<Vec<u8>> {
        csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .quote(self.quote)
            .has_headers(header)
            .from_writer(Vec::new())
    }
}

impl<In: Serialize + 'static> RecordFormat<In> for CsvEncoding<In> {
    type Encoder = CsvEncoder<In>;

    fn encoder(&self) -> CsvEncoder<In> {
        CsvEncoder {
            writer: self.writer(self.header),
            format: self.clone(),
        }
    }
}

/// Writes comma-separated values.
pub struct CsvEncoder<T> {
    format: CsvEncoding<T>,
    writer: csv::Writer<Vec<u8>>,
}

impl<In: Serialize + 'static> RecordEncoder<In> for CsvEncoder<In> {
    fn encode(&mut self, row: &In) -> Result<(), String> {
        self.writer
            .serialize(row)
            .map_err(|error| error.to_string())?;
        // Into memory, so that the length is known.
        self.writer.flush().map_err(|error| error.to_string())
    }

    fn len(&self) -> usize {
        self.writer.get_ref().len()
    }

    fn take(&mut self) -> Result<Vec<u8>, String> {
        // The header is written: only the first writer of a file has one.
        let next = self.format.writer(false);
        let full = std::mem::replace(&mut self.writer, next);
        full.into_inner().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sale {
        article: &'static str,
        cents: u64,
    }

    fn write<In, F: RecordFormat<In>>(format: F, rows: &[In]) -> String {
        let mut encoder = format.encoder();
        let mut bytes = Vec::new();
        for row in rows {
            encoder.encode(row).unwrap();
            assert!(!encoder.is_empty());
            bytes.append(&mut encoder.take().unwrap());
            assert!(encoder.is_empty());
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_format_writes_its_lines() {
        let sales = [
            Sale {
                article: "a,\"b\"",
                cents: 1,
            },
            Sale {
                article: "c",
                cents: 2,
            },
        ];
        let csv = "article,cents\n\"a,\"\"b\"\"\",1\nc,2\n";
        assert_eq!(write(CsvEncoding::new(), &sales), csv);
        let format = CsvEncoding::new()
            .delimiter(b';')
            .quote(b'\'')
            .without_header();
        assert_eq!(write(format, &[(1, "x;y")]), "1;'x;y'\n");
        let json = "{\"article\":\"a,\\\"b\\\"\",\"cents\":1}\n{\"article\":\"c\",\"cents\":2}\n";
        assert_eq!(write(JsonLinesEncoding, &sales), json);
        let text = TextEncoding(|n: &u32, line: &mut String| line.push_str(&n.to_string()));
        assert_eq!(write(text, &[1, 22]), "1\n22\n");
    }
}
