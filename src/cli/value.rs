//! Values of options: text in, what it means or what is wrong with it out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::User;
use regex::bytes::Regex;

use crate::config::ExportFormat;
use crate::skel::types::xl_limits;

/// The shortest `--top`: events are read every 50 ms.
const TOP_LEAST: Duration = Duration::from_millis(100);

/// `50ms`, `2s`, `1h 30m`; a bare number is seconds, as in tools of this family.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse()
        && let Ok(duration) = Duration::try_from_secs_f64(seconds)
    {
        return Ok(duration);
    }
    humantime::parse_duration(text)
        .map_err(|_| "a duration is a number with a unit: 50ms, 2s, 1h 30m".to_owned())
}

/// The same, but not nothing.
pub fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        interval => Ok(interval),
    }
}

/// The same for what is drawn on a terminal: not more often than can be read.
pub fn top_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    match interval < TOP_LEAST {
        true => Err(format!(
            "it must be at least {}",
            humantime::format_duration(TOP_LEAST)
        )),
        false => Ok(interval),
    }
}

/// `4096`, `512K`, `8M`, `1G`, with or without `B` or `iB`: bytes in steps of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number with K, M or G".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let shift = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(wrong()),
    };
    let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    match bytes {
        0 => Err("it must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A user's number, or the number of the user of that name.
pub fn user(text: &str) -> Result<u32, String> {
    if let Ok(uid) = text.parse() {
        return Ok(uid);
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err("no such user".to_owned()),
        Err(error) => Err(format!("cannot look it up: {error}")),
    }
}

/// A process's number.
pub fn pid(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a pid is a number above 0".to_owned()),
        Ok(pid) => Ok(pid),
    }
}

/// The name of a program, without a path.
pub fn name(text: &str) -> Result<String, String> {
    let most = xl_limits::XL_NAME_BYTES.0 as usize - 1;
    match text {
        "" => Err("it is empty".to_owned()),
        text if text.contains('/') => Err("it is the name of a program, not a path".to_owned()),
        text if text.len() > most => Err(format!("it is longer than {most} bytes")),
        text => Ok(text.to_owned()),
    }
}

/// A regular expression over bytes.
pub fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        // The library draws a picture of several lines; the last one says it.
        let text = error.to_string();
        text.lines()
            .last()
            .unwrap_or_default()
            .replace("error: ", "")
    })
}

/// Where a histogram goes: nowhere but to the terminal, or to a file as well.
pub type Export = Option<(PathBuf, ExportFormat)>;

/// The file's ending decides its form.
pub fn export(text: &str) -> Result<Export, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = Path::new(text);
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("txt") => ExportFormat::Text,
        Some("json") => ExportFormat::Json,
        Some("csv") => ExportFormat::Csv,
        _ => return Err("its ending must be .txt, .json or .csv".to_owned()),
    };
    Ok(Some((path.to_owned(), format)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("512K"), Ok(512 << 10));
        assert_eq!(size("8MiB"), Ok(8 << 20));
        for wrong in ["", "x", "8T", "M", "0", "99999999999G", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.3"), Ok(Duration::from_millis(300)));
        assert!(duration("nan").is_err() && duration("-1").is_err());
        assert!(duration("ten").is_err());
        assert!(interval("0s").is_err());
        assert_eq!(top_interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(
            top_interval("99ms"),
            Err("it must be at least 100ms".to_owned())
        );
    }

    #[test]
    fn users_are_numbers_or_names() {
        assert_eq!(user("12"), Ok(12));
        assert_eq!(user("root"), Ok(0));
        assert_eq!(user("no such user here"), Err("no such user".to_owned()));
    }

    #[test]
    fn names_are_not_paths() {
        assert!(name("runc").is_ok());
        assert!(name("/usr/bin/runc").is_err());
        assert!(name("").is_err());
        assert!(name(&"x".repeat(64)).is_err());
        assert!(name(&"x".repeat(63)).is_ok());
    }

    #[test]
    fn a_regex_error_is_one_line() {
        let error = regex("a(").expect_err("unclosed");
        assert_eq!(error, "unclosed group");
    }

    #[test]
    fn endings_decide() {
        assert_eq!(export(""), Ok(None));
        assert!(matches!(
            export("a.json"),
            Ok(Some((_, ExportFormat::Json)))
        ));
        assert!(export("a.png").is_err());
    }
}
