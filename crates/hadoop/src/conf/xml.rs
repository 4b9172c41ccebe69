//! Parser of one `*-site.xml`: a flat list of properties. Nothing is expanded or merged here.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// One `<property>`; name and value are trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_final: bool,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

#[derive(Default)]
struct Parser {
    /// Names of the open elements, outermost first.
    open: Vec<String>,
    name: Option<String>,
    value: Option<String>,
    is_final: bool,
    text: String,
    done: Vec<Property>,
}

/// Reads all properties in file order. Elements Hadoop does not know are skipped with their content.
pub(super) fn parse(content: &str) -> Result<Vec<Property>, Malformed> {
    let mut reader = Reader::from_str(content);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser::default();
    let mut saw_root = false;
    loop {
        let before = reader.buffer_position();
        let at = |position: u64, reason: String| Malformed {
            line: line_of(content, position),
            reason,
        };
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err(at(reader.error_position(), error.to_string())),
        };
        match event {
            Event::Start(element) => {
                saw_root = true;
                parser.open(&element).map_err(|reason| at(before, reason))?;
            }
            Event::End(_) => parser.close().map_err(|reason| at(before, reason))?,
            Event::Text(text) => parser.text.push_str(&text.xml10_content()),
            Event::CData(text) => parser.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => match resolve(&reference) {
                Some(character) => parser.text.push(character),
                None => {
                    let name = reference.xml10_content();
                    return Err(at(before, format!("unknown entity `&{name};`")));
                }
            },
            Event::Eof if !parser.open.is_empty() => {
                let unclosed = parser.open.pop().unwrap_or_default();
                return Err(at(before, format!("<{unclosed}> is never closed")));
            }
            Event::Eof if !saw_root => {
                return Err(at(before, "no <configuration> element".to_owned()));
            }
            Event::Eof => return Ok(parser.done),
            _ => {}
        }
    }
}

impl Parser {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.local_name().as_ref().to_owned();
        if self.open.is_empty() && name != "configuration" {
            return Err(format!("the root element is <{name}>, not <configuration>"));
        }
        if self.open.len() == 1 && name == "include" {
            // Silently missing half of the settings would be worse than refusing.
            return Err("<xi:include> is not supported; merge the included file".to_owned());
        }
        if self.open.len() == 1 && name == "property" {
            self.name = None;
            self.value = None;
            self.is_final = false;
            for attribute in element.attributes() {
                let attribute = attribute.map_err(|error| error.to_string())?;
                let value = attribute
                    .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                    .map_err(|error| error.to_string())?;
                match attribute.key.as_ref() {
                    "name" => self.name = Some(value.trim().to_owned()),
                    "value" => self.value = Some(value.trim().to_owned()),
                    "final" => self.is_final = value.trim() == "true",
                    _ => {}
                }
            }
        }
        self.text.clear();
        self.open.push(name);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(closed) = self.open.pop() else {
            return Err("closing tag without an opening one".to_owned());
        };
        let text = std::mem::take(&mut self.text);
        if self.open.len() == 2 && self.open[1] == "property" {
            match closed.as_str() {
                "name" => self.name = Some(text.trim().to_owned()),
                "value" => self.value = Some(text.trim().to_owned()),
                "final" => self.is_final = text.trim() == "true",
                _ => {}
            }
        } else if self.open.len() == 1 && closed == "property" {
            let name = self.name.take().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| "<property> without <name>".to_owned())?;
            // A property without a value is one Hadoop treats as unset.
            if let Some(value) = self.value.take() {
                self.done.push(Property {
                    name,
                    value,
                    is_final: self.is_final,
                });
            }
        }
        Ok(())
    }
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    match reference.xml10_content().as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

fn line_of(content: &str, position: u64) -> usize {
    let end = usize::try_from(position)
        .unwrap_or(usize::MAX)
        .min(content.len());
    content.as_bytes()[..end]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(body: &str) -> Vec<(String, String, bool)> {
        let properties = parse(&format!(
            "<?xml version=\"1.0\"?>\n<!-- c -->\n<configuration>{body}</configuration>"
        ));
        properties
            .unwrap()
            .into_iter()
            .map(|p| (p.name, p.value, p.is_final))
            .collect()
    }

    #[test]
    fn properties_are_trimmed_and_entities_resolved() {
        let found = parse_one(
            "<property>\n <name> a.b </name><value>\n x &amp; y &#x41; <![CDATA[<z>]]>\n</value><final> true </final>\
             <description>ignored &lt;b&gt;</description></property><property name='c' value='1'/>",
        );
        assert_eq!(
            found,
            vec![
                ("a.b".into(), "x & y A <z>".into(), true),
                ("c".into(), "1".into(), false)
            ]
        );
    }

    #[test]
    fn empty_and_missing_values_differ() {
        let found = parse_one(
            "<property><name>a</name><value/></property><property><name>b</name></property>",
        );
        assert_eq!(found, vec![("a".into(), String::new(), false)]);
    }

    #[test]
    fn errors_name_the_line() {
        for (content, line, part) in [
            ("<configuration>\n<property>\n<name>x</nam>\n", 3, "nam"),
            (
                "<configuration>\n<property><value>1</value></property>\n</configuration>",
                2,
                "without <name>",
            ),
            ("<conf/>", 1, "root element"),
            ("", 1, "no <configuration>"),
            ("<configuration>\n<property>\n", 3, "never closed"),
            (
                "<configuration>\n<property><name>a</name><value>&nope;</value></property></configuration>",
                2,
                "nope",
            ),
            (
                "<configuration>\n\n<xi:include href='x'/></configuration>",
                3,
                "include",
            ),
        ] {
            let error = parse(content).unwrap_err();
            assert_eq!(error.line, line, "{content}: {}", error.reason);
            assert!(error.reason.contains(part), "{content}: {}", error.reason);
        }
    }
}
