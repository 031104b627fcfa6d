//! Record formats of tracepoints, as tracefs prints them in `events/SYSTEM/NAME/format`.

/// A tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracepointFormat {
    /// Its name.
    pub name: String,
    /// Its number, for perf events.
    pub id: u32,
    /// The fields that all tracepoints have (`common_pid`, …).
    pub common_fields: Vec<FormatField>,
    /// Its own fields.
    pub fields: Vec<FormatField>,
    /// What follows `print fmt:`.
    pub print_format: String,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatField {
    /// Its name.
    pub name: String,
    /// Its type as C spells it, without array brackets (see `array`): `const char *`,
    /// `__data_loc char[]`.
    pub c_type: String,
    /// What stands in the brackets after the name: `16`, or the name of a constant.
    pub array: Option<String>,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether it is signed.
    pub signed: bool,
}

impl FormatField {
    /// Whether the data lies behind the record; the field itself holds
    /// `length << 16 | offset`, from the record's start or, with `__rel_loc`, from the
    /// field's end.
    pub fn is_data_loc(&self) -> bool {
        self.c_type.starts_with("__data_loc ") || self.is_relative_loc()
    }

    /// Whether the data's offset counts from the end of the field.
    pub fn is_relative_loc(&self) -> bool {
        self.c_type.starts_with("__rel_loc ")
    }

    /// Whether it holds characters: `char[16]` or a `__data_loc char[]`.
    pub fn is_string(&self) -> bool {
        let element = self
            .c_type
            .trim_start_matches("__data_loc ")
            .trim_start_matches("__rel_loc ");
        match element {
            "char" => self.array.is_some(),
            "char[]" => true,
            _ => false,
        }
    }

    /// Number of elements of an array, from its size and that of an element where known.
    pub fn element_size(&self) -> u32 {
        match self.array.as_deref().map(str::parse::<u32>) {
            Some(Ok(len)) if len > 0 => self.size / len,
            _ => self.size,
        }
    }
}

impl TracepointFormat {
    /// Parses the text of a format file; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut name = None;
        let mut id = 0;
        let mut fields = Vec::new();
        let mut common_fields = Vec::new();
        let mut print_format = String::new();
        for line in text.lines() {
            if let Some(field) = line.trim_start().strip_prefix("field:") {
                let field = parse_field(field)?;
                if field.name.starts_with("common_") {
                    common_fields.push(field);
                } else {
                    fields.push(field);
                }
            } else if let Some(value) = line.strip_prefix("name:") {
                name = Some(value.trim().to_owned());
            } else if let Some(value) = line.strip_prefix("ID:") {
                id = value.trim().parse().ok()?;
            } else if let Some(value) = line.strip_prefix("print fmt:") {
                value.trim_start().clone_into(&mut print_format);
            }
        }
        Some(Self {
            name: name?,
            id,
            common_fields,
            fields,
            print_format,
        })
    }

    /// A field by its name, also a common one.
    pub fn field(&self, name: &str) -> Option<&FormatField> {
        self.fields
            .iter()
            .chain(&self.common_fields)
            .find(|field| field.name == name)
    }
}

/// `char prev_comm[16]; offset:8; size:16; signed:0;` with tabs for spaces.
fn parse_field(text: &str) -> Option<FormatField> {
    let mut parts = text.split(';').map(str::trim);
    let declaration = parts.next()?;
    let mut number = |label: &str| parts.next()?.strip_prefix(label)?.parse::<u32>().ok();
    let (offset, size, signed) = (number("offset:")?, number("size:")?, number("signed:")?);
    let (declaration, array) = match declaration.strip_suffix(']') {
        Some(open) => {
            let (declaration, len) = open.rsplit_once('[')?;
            (declaration, Some(len.to_owned()))
        }
        None => (declaration, None),
    };
    let split = declaration.rfind([' ', '*']).map(|at| at + 1)?;
    let (c_type, name) = declaration.split_at(split);
    Some(FormatField {
        name: name.to_owned(),
        c_type: c_type.trim_end().to_owned(),
        array,
        offset,
        size,
        signed: signed != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_format() {
        let format = TracepointFormat::parse(
            "name: sched_switch\nID: 372\nformat:\n\
             \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
             \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
             \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
             \tfield:__data_loc char[] name;\toffset:28;\tsize:4;\tsigned:0;\n\
             \tfield:const char *ptr;\toffset:32;\tsize:8;\tsigned:0;\n\
             \tfield:unsigned long args[6];\toffset:40;\tsize:48;\tsigned:0;\n\n\
             print fmt: \"prev_comm=%s\", REC->prev_comm\n",
        )
        .unwrap();
        assert_eq!((format.name.as_str(), format.id), ("sched_switch", 372));
        assert_eq!(format.fields.len(), 5);
        assert_eq!(format.common_fields.len(), 1);
        let comm = format.field("prev_comm").unwrap();
        assert_eq!(
            (comm.c_type.as_str(), comm.array.as_deref()),
            ("char", Some("16"))
        );
        assert!(comm.is_string() && !comm.is_data_loc());
        let name = format.field("name").unwrap();
        assert!(name.is_string() && name.is_data_loc() && !name.is_relative_loc());
        assert_eq!(format.field("ptr").unwrap().c_type, "const char *");
        assert_eq!(format.field("args").unwrap().element_size(), 8);
        assert!(format.field("prev_pid").unwrap().signed);
        assert_eq!(format.print_format, "\"prev_comm=%s\", REC->prev_comm");
    }

    #[test]
    fn refuses_what_is_not_a_format() {
        assert_eq!(TracepointFormat::parse(""), None);
        assert_eq!(
            TracepointFormat::parse("name: x\n\tfield:int;\toffset:1;"),
            None
        );
        assert_eq!(TracepointFormat::parse("name: x\nID: many"), None);
    }
}
