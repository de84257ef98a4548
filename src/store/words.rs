//! Why the operating system refuses, in an analyst's words, and what to do about it.

use std::io::{Error, ErrorKind};

/// Why something could not be read or written.
pub fn why(error: &Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "no space is left on the disk; make room there".to_owned(),
        ErrorKind::QuotaExceeded => "the disk quota is used up; make room there".to_owned(),
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; work in a copy of the project, or give the target a `state:` elsewhere"
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            "you have no permission; ask the owner of the folder for it, or work in a copy of your own".to_owned()
        }
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::IsADirectory => "it is a folder, and a file is needed".to_owned(),
        ErrorKind::NotADirectory => "a file stands where a folder is needed".to_owned(),
        ErrorKind::InvalidFilename => "the name is too long for a file".to_owned(),
        ErrorKind::AlreadyExists => "it is there already".to_owned(),
        _ => plain(&error.to_string()),
    }
}

/// A message without the number of the error.
fn plain(text: &str) -> String {
    match text.rfind(" (os error ") {
        Some(at) if text.ends_with(')') => text[..at].to_lowercase(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_not_told() {
        assert_eq!(plain("Broken pipe (os error 32)"), "broken pipe");
        assert!(why(&Error::from(ErrorKind::PermissionDenied)).starts_with("you have no permission"));
        assert!(!why(&Error::from_raw_os_error(5)).contains("os error"));
    }
}
