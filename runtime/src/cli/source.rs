//! Reads what the command line names: the script, more scripts, tapset directories.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Status;
use super::args::ScriptArgs;

/// A text with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: its path, or `<input>`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a source cannot be had; its text is a whole message.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither `-e` nor a file.
    #[error("no script given")]
    NoScript,
    /// A file that cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        error: std::io::Error,
    },
}

impl SourceError {
    /// Reports it. A missing script is a fault of the command line.
    pub fn report(self) -> Status {
        let status = Status::fail(&self.to_string(), Some(&self.help()));
        match self {
            SourceError::NoScript => Status::Usage,
            SourceError::Read { .. } => status,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            SourceError::NoScript => "name a file, or give the text: rtap run -e 'probe begin { println(\"hi\"); exit() }'".into(),
            SourceError::Read { path, error } => match error.kind() {
                std::io::ErrorKind::NotFound if path.contains([' ', '{']) => "a script's text needs -e before it".into(),
                std::io::ErrorKind::NotFound => "is the name right?".into(),
                std::io::ErrorKind::PermissionDenied => "run as a user who may read it".into(),
                _ => "give a regular file, or - for standard input".into(),
            },
        }
    }
}

/// The script and the arguments for its `$1`, `@1`.
pub fn script(args: &ScriptArgs) -> Result<(Source, Vec<String>), SourceError> {
    if let Some(text) = &args.script {
        let source = Source {
            name: "<input>".into(),
            bytes: text.clone().into_bytes(),
        };
        return Ok((source, args.words.clone()));
    }
    let (file, arguments) = args.file_and_arguments();
    let file = file.ok_or(SourceError::NoScript)?;
    let source = if file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| SourceError::Read {
                path: "standard input".into(),
                error,
            })?;
        Source {
            name: "<stdin>".into(),
            bytes,
        }
    } else {
        read(Path::new(file))?
    };
    Ok((source, arguments.to_vec()))
}

/// The scripts given by `-E`.
pub fn extra_scripts(args: &ScriptArgs) -> Vec<Source> {
    let name = |n: usize| {
        if args.extra.len() == 1 {
            "<-E>".into()
        } else {
            format!("<-E {}>", n + 1)
        }
    };
    args.extra
        .iter()
        .enumerate()
        .map(|(n, text)| Source {
            name: name(n),
            bytes: text.clone().into_bytes(),
        })
        .collect()
}

/// All tapset files (`*.rtp`, `*.stp`) and macro files (`*.stpm`) below the directories,
/// in order of their paths.
pub fn tapsets(dirs: &[PathBuf]) -> Result<Vec<Source>, SourceError> {
    let mut sources = Vec::new();
    for dir in dirs {
        let mut files = Vec::new();
        walk(dir, 0, &mut files)?;
        files.sort();
        for file in files {
            sources.push(read(&file)?);
        }
    }
    Ok(sources)
}

/// Directories nested deeper than this are not searched (a link may lead back up).
const MAX_DEPTH: usize = 16;

fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let failed = |error| SourceError::Read {
        path: dir.display().to_string(),
        error,
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                walk(&path, depth + 1, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|e| e == "rtp" || e == "stp" || e == "stpm")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source, SourceError> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => Ok(Source { name, bytes }),
        Err(error) => Err(SourceError::Read { path: name, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_arguments() {
        let args = ScriptArgs {
            script: Some("probe begin {}".into()),
            words: vec!["1".into()],
            ..ScriptArgs::default()
        };
        let (source, arguments) = script(&args).expect("a text");
        assert_eq!((source.name.as_str(), arguments.len()), ("<input>", 1));
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = ScriptArgs {
            words: vec!["/nonexistent {}".into()],
            ..ScriptArgs::default()
        };
        let error = script(&args).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent {}"));
        assert!(error.help().contains("-e"));
    }
}
