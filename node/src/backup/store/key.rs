//! Names of objects.

/// S3 allows a few more.
const LENGTH_MAX: usize = 900;

/// Whether a store may be asked for an object of this name: parts of letters, digits, `.`, `_` and `-` with slashes between,
/// none of which begins with a dot.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(key: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    };
    if key.len() <= LENGTH_MAX && key.split('/').all(is_part) {
        return Ok(());
    }
    Err(format!("\"{}\" is no name for an object", key.escape_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_store() {
        assert_eq!(check_key("shop/backups/20260101T000000Z-db2/data.00000"), Ok(()));
        for bad in ["", "/etc/passwd", "a//b", "a/../b", "a/", ".hidden", "a b", "a\n", "ä"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
