//! Text for people, on a page of 80 columns.

/// Of the page.
const WIDTH: usize = 80;

/// A label, in a column of `column` characters, and what it says.
pub(crate) fn row(column: usize, label: &str, text: &str) -> String {
    wrapped(&format!("  {label:<column$}"), &" ".repeat(column + 2), text)
}

/// Words in lines of the page's width. A word that is longer than a line stays whole.
pub(crate) fn wrapped(first: &str, next: &str, text: &str) -> String {
    let mut page = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            page += &line;
            page += "\n";
            line = next.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line += " ";
        }
        // Names and texts of others may have any, and one of them may be what wipes a terminal.
        line.extend(word.chars().filter(|c| !c.is_control()));
        is_empty = false;
    }
    page + &line + "\n"
}

/// "1.2 GiB"
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut units) = (bytes as f64, UNITS.iter());
    let mut unit = units.next();
    while value >= 1024.0
        && let Some(larger) = units.next()
    {
        value /= 1024.0;
        unit = Some(larger);
    }
    let digits = usize::from(bytes >= 1024 && value < 100.0);
    format!("{value:.digits$} {}", unit.unwrap_or(&""))
}

/// "24 s", "3 min", "2 h 5 min"
pub(crate) fn length(seconds: u64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_lines() {
        let text = row(8, "label", &"word ".repeat(20));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("          word")), "{text}");
        assert_eq!(wrapped("- ", "  ", "one"), "- one\n");
    }

    #[test]
    fn sizes_and_times() {
        let sizes = [0, 1023, 1536, 4 << 30, 250 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KiB", "4.0 GiB", "250 MiB", "16777216 TiB"]);
        assert_eq!([5, 600, 7500].map(length), ["5 s", "10 min", "2 h 5 min"]);
    }
}
