//! Kernel releases: `6.12.43+deb13-amd64` → (6, 12, 43).

use std::fmt;

/// What `uname -r` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelRelease {
    /// The release in full.
    pub text: String,
    /// Its leading three numbers; missing ones are 0.
    pub version: (u32, u32, u32),
}

impl KernelRelease {
    /// Takes the release apart.
    pub fn parse(text: &str) -> Self {
        let numbers = text.split(['.', '-', '+', '_']).map_while(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part.get(..digits)?.parse().ok()
        });
        let mut numbers = numbers.fuse();
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            text: text.to_owned(),
            version: (next(), next(), next()),
        }
    }

    /// `major.minor` as one comparable pair.
    pub fn minor(&self) -> (u32, u32) {
        (self.version.0, self.version.1)
    }

    /// The part that SystemTap's `kernel_v` compares: up to the first `-`.
    pub fn base(&self) -> &str {
        self.text.split('-').next().unwrap_or_default()
    }
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_releases() {
        let version = |text| KernelRelease::parse(text).version;
        assert_eq!(version("6.18.44-fc-v657"), (6, 18, 44));
        assert_eq!(version("5.10.0-36-cloud-amd64"), (5, 10, 0));
        assert_eq!(version("6.12.43+deb13-amd64"), (6, 12, 43));
        assert_eq!(version("7.2-rc1"), (7, 2, 0));
        assert_eq!(version("7.2.0rc4"), (7, 2, 0));
        assert_eq!(version(""), (0, 0, 0));
        assert_eq!(version("é.99999999999.1"), (0, 0, 0));
        assert_eq!(KernelRelease::parse("6.18.44-fc-v657").base(), "6.18.44");
    }
}
