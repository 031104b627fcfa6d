//! Kernel configuration options.

use std::collections::BTreeMap;

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kconfig {
    /// `=y`
    Yes,
    /// `=m`
    Module,
    /// `=1000`, `=0x1000`
    Number(i64),
    /// `="text"`
    Text(String),
    /// Not set.
    Absent,
    /// The configuration cannot be read.
    Unknown,
}

impl Kconfig {
    /// Whether the option is on, as a module or built in; `None` when unknown.
    pub fn is_on(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Absent => Some(false),
            Self::Yes | Self::Module | Self::Number(_) | Self::Text(_) => Some(true),
        }
    }

    /// The value as the configuration file spells it, without quotes; "" when absent.
    pub fn text(&self) -> String {
        match self {
            Self::Yes => "y".to_owned(),
            Self::Module => "m".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Absent | Self::Unknown => String::new(),
        }
    }

    fn parse(value: &str) -> Self {
        match value {
            "y" => Self::Yes,
            "m" => Self::Module,
            "n" => Self::Absent,
            _ => {
                if let Some(text) = value.strip_prefix('"') {
                    return Self::Text(text.strip_suffix('"').unwrap_or(text).to_owned());
                }
                let number = match value.strip_prefix("0x") {
                    // Addresses do not fit i64: they wrap, as script numbers do.
                    Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as i64),
                    None => value.parse().ok(),
                };
                number.map_or_else(|| Self::Text(value.to_owned()), Self::Number)
            }
        }
    }
}

/// All options of a kernel, from the text of its configuration file.
#[derive(Clone, Debug, Default)]
pub struct KconfigTable {
    options: BTreeMap<String, Kconfig>,
}

impl KconfigTable {
    /// Reads `CONFIG_X=value` lines; all other lines are comments.
    pub fn parse(text: &str) -> Self {
        let options = text
            .lines()
            .filter(|line| line.starts_with("CONFIG_"))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), Kconfig::parse(value.trim_end())))
            .collect();
        Self { options }
    }

    /// An option by its full name, `Absent` when it is not listed.
    pub fn get(&self, name: &str) -> Kconfig {
        self.options.get(name).cloned().unwrap_or(Kconfig::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_options() {
        let table = KconfigTable::parse(
            "# Comment\n# CONFIG_OFF is not set\nCONFIG_BPF=y\nCONFIG_EXT4=m\nCONFIG_HZ=250\n\
             CONFIG_START=0xffffffff81000000\nCONFIG_NAME=\"(none)\"\nCONFIG_ODD=1.2\n",
        );
        assert_eq!(table.get("CONFIG_BPF"), Kconfig::Yes);
        assert_eq!(table.get("CONFIG_EXT4"), Kconfig::Module);
        assert_eq!(table.get("CONFIG_HZ"), Kconfig::Number(250));
        assert_eq!(
            table.get("CONFIG_START"),
            Kconfig::Number(0xffff_ffff_8100_0000_u64 as i64)
        );
        assert_eq!(table.get("CONFIG_NAME"), Kconfig::Text("(none)".into()));
        assert_eq!(table.get("CONFIG_ODD"), Kconfig::Text("1.2".into()));
        assert_eq!(table.get("CONFIG_OFF"), Kconfig::Absent);
        assert_eq!(table.get("CONFIG_OFF").is_on(), Some(false));
        assert_eq!(Kconfig::Unknown.is_on(), None);
    }
}
