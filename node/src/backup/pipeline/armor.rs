//! Binary in a text, as age spells it: base64 between two lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
/// Columns of a line.
const COLUMNS: usize = 64;

pub(super) fn wrap(data: &[u8]) -> String {
    let text = STANDARD.encode(data);
    let mut out = format!("{BEGIN}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(END);
    out.push('\n');
    out
}

pub(super) fn unwrap(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    STANDARD.decode(inner.lines().map(str::trim).collect::<String>()).ok()
}
