//! Columns and line breaks.

use super::style::{Style, Tone, clean};

/// Spaces between columns, and between the items of a line.
const GAP: usize = 3;

/// Pieces of text, each with its tone.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell(Vec<(Tone, String)>);

impl Cell {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }

    pub(super) fn then(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.width() == 0
    }

    /// In columns. Names and messages are taken to be of single-width characters.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    fn paint(&self, style: &Style) -> String {
        self.0.iter().map(|(tone, text)| style.paint(*tone, text)).collect()
    }
}

/// Rows in aligned columns. The last cell of a row takes what is left of the line and wraps within its column.
pub(super) fn table(rows: &[Vec<Cell>], style: &Style) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        // A last cell pushes nothing to its right, so it does not widen its column.
        let inner = rows.iter().filter(|row| row.len() > column + 1);
        inner.map(|row| row[column].width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    let mut text = String::new();
    for row in rows {
        let Some((last, inner)) = row.split_last() else { continue };
        let mut line = String::new();
        let mut at = 0;
        for (cell, width) in inner.iter().zip(&widths) {
            line += &cell.paint(style);
            line += &" ".repeat(width - cell.width() + GAP);
            at += width + GAP;
        }
        text += &last_cell(&line, at, last, style);
    }
    text
}

/// A line whose last cell starts at column `at`. Only a cell of one tone wraps; others are short.
fn last_cell(line: &str, at: usize, last: &Cell, style: &Style) -> String {
    let [(tone, words)] = last.0.as_slice() else {
        return end(format!("{line}{}", last.paint(style)));
    };
    let room = style.width.saturating_sub(at);
    if words.chars().count() <= room {
        return end(format!("{line}{}", style.paint(*tone, words)));
    }
    // With too little room beside the other columns, the words go below them.
    let (first, indent, room) = if room >= 24 {
        (line.to_owned(), at, room)
    } else {
        (format!("{}\n      ", line.trim_end()), 6, style.width.saturating_sub(6))
    };
    let broken = break_lines(words, room);
    let painted: Vec<String> = broken.iter().map(|part| style.paint(*tone, part)).collect();
    end(format!("{first}{}", painted.join(&format!("\n{}", " ".repeat(indent)))))
}

fn end(line: String) -> String {
    format!("{}\n", line.trim_end())
}

/// Items on one line, as many as fit; the rest on the next, indented.
pub(super) fn flow(items: &[Cell], gap: usize, style: &Style) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for item in items {
        let width = item.width();
        if used > 0 && used + gap + width > style.width {
            text += "\n  ";
            used = 2;
        } else if used > 0 {
            text += &" ".repeat(gap);
            used += gap;
        }
        text += &item.paint(style);
        used += width;
    }
    end(text)
}

/// Words after `lead`, broken at `width`, the next lines after `hang`.
pub(super) fn wrap(words: &str, lead: &str, hang: &str, width: usize) -> String {
    let room = width.saturating_sub(lead.chars().count().max(hang.chars().count()));
    let lines = break_lines(words, room.max(20));
    format!("{lead}{}\n", lines.join(&format!("\n{hang}")))
}

/// Breaks at spaces; a word longer than the line stays whole, since it may be something to copy.
fn break_lines(words: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words.split_whitespace().map(clean) {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(word);
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(&word);
        }
    }
    lines
}
