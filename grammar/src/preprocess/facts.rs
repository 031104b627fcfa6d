//! What conditionals may ask about the machine and the command line.

/// The values that `%( … %)` conditions compare, and the script's arguments.
///
/// Asked only when a script does, so that an implementation may read a file to answer.
pub trait PreprocessorFacts {
    /// `kernel_v`: the kernel's version without its local part, such as `6.12.43`.
    fn kernel_v(&self) -> String;

    /// `kernel_vr`: the kernel's whole release, such as `6.12.43+deb13-amd64`.
    fn kernel_vr(&self) -> String;

    /// `arch`, in SystemTap's names: `x86_64`, `arm64`, `powerpc`, …
    fn arch(&self) -> String;

    /// `CONFIG_…`: the option's value as the kernel's configuration file has it: `y`, `m`, a number, or a
    /// string with its quotes. `None` if it is not set.
    fn config(&self, name: &str) -> Option<String>;

    /// `systemtap_v`: the version of SystemTap whose language this is, or the older one that
    /// `--compatible` names.
    fn systemtap_v(&self) -> String {
        SYSTEMTAP_VERSION.to_owned()
    }

    /// `runtime`. We say `kernel`, not `bpf`: scripts ask this question to avoid what stapbpf cannot do,
    /// and none of it is missing here.
    fn runtime(&self) -> String {
        "kernel".to_owned()
    }

    /// `systemtap_privilege`: `stapdev`, `stapsys` or `stapusr`.
    fn privilege(&self) -> String {
        "stapdev".to_owned()
    }

    /// `guru_mode`: whether `-g` was given.
    fn guru(&self) -> bool {
        false
    }

    /// `$1`, `@1` and so on.
    fn args(&self) -> &[String] {
        &[]
    }
}

/// The version of SystemTap whose language rtap speaks.
pub const SYSTEMTAP_VERSION: &str = "5.6";

/// Facts as plain data, for tests and for compiling for another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFacts {
    /// `kernel_vr`; `kernel_v` is its leading run of digits and dots.
    pub kernel_vr: String,
    /// `arch`
    pub arch: String,
    /// `CONFIG_…` names and values.
    pub config: Vec<(String, String)>,
    /// `systemtap_v`
    pub systemtap_v: String,
    /// `systemtap_privilege`
    pub privilege: String,
    /// `guru_mode`
    pub guru: bool,
    /// Script arguments.
    pub args: Vec<String>,
}

impl Default for StaticFacts {
    fn default() -> StaticFacts {
        StaticFacts {
            kernel_vr: "6.12.0-test".to_owned(),
            arch: "x86_64".to_owned(),
            config: Vec::new(),
            systemtap_v: SYSTEMTAP_VERSION.to_owned(),
            privilege: "stapdev".to_owned(),
            guru: false,
            args: Vec::new(),
        }
    }
}

impl PreprocessorFacts for StaticFacts {
    fn kernel_v(&self) -> String {
        base_version(&self.kernel_vr).to_owned()
    }

    fn kernel_vr(&self) -> String {
        self.kernel_vr.clone()
    }

    fn arch(&self) -> String {
        self.arch.clone()
    }

    fn config(&self, name: &str) -> Option<String> {
        self.config
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    }

    fn systemtap_v(&self) -> String {
        self.systemtap_v.clone()
    }

    fn privilege(&self) -> String {
        self.privilege.clone()
    }

    fn guru(&self) -> bool {
        self.guru
    }

    fn args(&self) -> &[String] {
        &self.args
    }
}

/// A kernel release without its local part: `6.12.43` of `6.12.43+deb13-amd64`.
pub fn base_version(release: &str) -> &str {
    let end = release
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(release.len());
    release[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::base_version;

    #[test]
    fn base_versions() {
        assert_eq!(base_version("6.12.43+deb13-amd64"), "6.12.43");
        assert_eq!(base_version("6.18-rc3"), "6.18");
        assert_eq!(base_version("7.2"), "7.2");
    }
}
