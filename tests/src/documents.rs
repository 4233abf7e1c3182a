//! What the documents for users say, so that tests run it as it stands there.

use std::path::Path;

use anyhow::{Context, Result};

/// The code blocks of one kind (`toml`, `sh`) below a heading of a document in `docs`, up to the next heading.
///
/// # Errors
/// When there is no such document or heading, or no such block below it.
pub fn blocks(document: &str, heading: &str, kind: &str) -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (mut below, mut block) = (false, None::<Vec<&str>>);
    let mut found = Vec::new();
    for line in text.lines() {
        match (&mut block, line) {
            (Some(lines), "```") => {
                found.push(lines.join("\n") + "\n");
                block = None;
            }
            (Some(lines), line) => lines.push(line),
            // What looks like a heading in a block of another kind is none that is asked for.
            (None, line) if line.starts_with('#') => below = line.trim_start_matches('#').trim() == heading,
            (None, line) if below && line.strip_prefix("```") == Some(kind) => block = Some(Vec::new()),
            (None, _) => {}
        }
    }
    (!found.is_empty()).then_some(found).with_context(|| format!("no {kind} below `{heading}` in {document}"))
}
