//! From bytes to records: text, CSV, JSON lines.

use std::io::Cursor;
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use flott_record::Record;
use serde::de::DeserializeOwned;

/// Where records end in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// At each line end. Files can be read in pieces.
    Lines,
    /// At line ends that are not quoted. A file is read as one piece, because whether a line end is
    /// quoted can only be seen from the beginning.
    QuotedLines(u8),
}

/// How the records of a file are written.
pub trait FileFormat: Clone + Send + Sync + 'static {
    /// What a record becomes.
    type Out: Record;
    /// Reads the records of a block.
    type Decoder: BlockDecoder<Out = Self::Out>;

    /// Where records end.
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    /// Whether the first record of a file describes the others.
    fn has_header(&self) -> bool {
        false
    }

    /// A decoder for a file with that first record, if the format has one. An error is told with the
    /// name of the file.
    fn decoder(&self, header: Option<&[u8]>) -> Result<Self::Decoder, String>;
}

/// Reads records out of blocks of whole records.
pub trait BlockDecoder: Send + 'static {
    /// What a record becomes.
    type Out;

    /// The next block; the one before it is used up.
    fn begin(&mut self, block: Bytes);

    /// The next record of the block, `None` at its end. An error is told with file and line.
    fn next(&mut self) -> Option<Result<Self::Out, String>>;

    /// Bytes of the block that are used up; after an error, those before the bad record.
    fn consumed(&self) -> usize;
}

/// Each line is a record, without its line end (`\n`, `\r\n`). Bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextFormat;

impl FileFormat for TextFormat {
    type Out = String;
    type Decoder = LineDecoder<String>;

    fn decoder(&self, _: Option<&[u8]>) -> Result<Self::Decoder, String> {
        Ok(LineDecoder::new(|line| {
            // Looking for what is broken takes longer than finding that nothing is.
            Ok(Some(match std::str::from_utf8(line) {
                Ok(line) => line.to_owned(),
                Err(_) => String::from_utf8_lossy(line).into_owned(),
            }))
        }))
    }
}

/// Each line is a JSON value; empty lines are skipped.
#[derive(Debug)]
pub struct JsonLinesFormat<T>(PhantomData<fn() -> T>);

impl<T> Default for JsonLinesFormat<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for JsonLinesFormat<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T: Record> FileFormat for JsonLinesFormat<T> {
    type Out = T;
    type Decoder = LineDecoder<T>;

    fn decoder(&self, _: Option<&[u8]>) -> Result<Self::Decoder, String> {
        Ok(LineDecoder::new(|line| {
            if line.trim_ascii().is_empty() {
                return Ok(None);
            }
            serde_json::from_slice(line).map(Some).map_err(|error| {
                // Its own line number counts within the record.
                let text = error.to_string();
                let text = text.split(" at line ").next().unwrap_or(&text);
                format!("{text} at column {}", error.column())
            })
        }))
    }
}

type Parse<T> = fn(&[u8]) -> Result<Option<T>, String>;

/// Reads records that are lines.
pub struct LineDecoder<T> {
    parse: Parse<T>,
    block: Bytes,
    length: usize,
}

impl<T> LineDecoder<T> {
    fn new(parse: Parse<T>) -> Self {
        Self {
            parse,
            block: Bytes::new(),
            length: 0,
        }
    }
}

impl<T: 'static> BlockDecoder for LineDecoder<T> {
    type Out = T;

    fn begin(&mut self, block: Bytes) {
        self.length = block.len();
        self.block = block;
    }

    fn next(&mut self) -> Option<Result<T, String>> {
        while !self.block.is_empty() {
            let (line, length) = match memchr::memchr(b'\n', &self.block) {
                Some(newline) => (&self.block[..newline], newline + 1),
                None => (&self.block[..], self.block.len()),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match (self.parse)(line) {
                Ok(record) => {
                    self.block.advance(length);
                    if let Some(record) = record {
                        return Some(Ok(record));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn consumed(&self) -> usize {
        self.length - self.block.len()
    }
}

/// Comma-separated values, as RFC 4180 has them: each record becomes a `T` by serde. With a header
/// line fields are found by their names, else by their order.
#[derive(Debug)]
pub struct CsvFormat<T> {
    delimiter: u8,
    quote: u8,
    header: bool,
    types: PhantomData<fn() -> T>,
}

impl<T> Default for CsvFormat<T> {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            header: true,
            types: PhantomData,
        }
    }
}

impl<T> Clone for CsvFormat<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> CsvFormat<T> {
    /// Commas, double quotes, a header line.
    pub fn new() -> Self {
        Self::default()
    }

    /// What separates fields; default: `,`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// What encloses fields with delimiters, line ends or quotes in them; default: `"`.
    #[must_use]
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self
    }

    /// Files have no header line: fields are taken by their order.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    fn reader(&self, block: Bytes) -> csv::Reader<Cursor<Bytes>> {
        csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .quote(self.quote)
            .has_headers(false)
            .flexible(true)
            .from_reader(Cursor::new(block))
    }
}

impl<T: Record> FileFormat for CsvFormat<T> {
    type Out = T;
    type Decoder = CsvDecoder<T>;

    fn framing(&self) -> Framing {
        Framing::QuotedLines(self.quote)
    }

    fn has_header(&self) -> bool {
        self.header
    }

    fn decoder(&self, header: Option<&[u8]>) -> Result<Self::Decoder, String> {
        let mut names = None;
        if let Some(header) = header {
            let mut record = csv::ByteRecord::new();
            // Editors of tables begin files with a byte order mark.
            let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
            self.reader(Bytes::copy_from_slice(header))
                .read_byte_record(&mut record)
                .map_err(|error| format!("the header line is damaged: {error}"))?;
            names = Some(record);
        }
        Ok(CsvDecoder {
            format: self.clone(),
            names,
            reader: self.reader(Bytes::new()),
            record: csv::ByteRecord::new(),
            consumed: 0,
        })
    }
}

/// Reads records that are comma-separated values.
pub struct CsvDecoder<T> {
    format: CsvFormat<T>,
    names: Option<csv::ByteRecord>,
    reader: csv::Reader<Cursor<Bytes>>,
    record: csv::ByteRecord,
    consumed: usize,
}

impl<T: DeserializeOwned> CsvDecoder<T> {
    fn record(&self) -> Result<T, String> {
        if let Some(names) = &self.names
            && names.len() != self.record.len()
        {
            return Err(format!(
                "{} fields, where the header line has {}",
                self.record.len(),
                names.len()
            ));
        }
        self.record
            .deserialize(self.names.as_ref())
            .map_err(|error| describe(&error, self.names.as_ref()))
    }
}

fn describe(error: &csv::Error, names: Option<&csv::ByteRecord>) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    let Some(field) = err.field() else {
        return err.kind().to_string();
    };
    let name = names.and_then(|names| names.get(field as usize));
    let name = name.map_or(String::new(), |name| {
        format!(" ('{}')", String::from_utf8_lossy(name))
    });
    format!("field {}{name}: {}", field + 1, err.kind())
}

impl<T: DeserializeOwned + 'static> BlockDecoder for CsvDecoder<T> {
    type Out = T;

    fn begin(&mut self, block: Bytes) {
        self.reader = self.format.reader(block);
        self.consumed = 0;
    }

    fn next(&mut self) -> Option<Result<T, String>> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                let record = self.record();
                if record.is_ok() {
                    // Less than the block, which is in memory.
                    self.consumed = self.reader.position().byte() as usize;
                }
                Some(record)
            }
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn consumed(&self) -> usize {
        self.consumed
    }
}
