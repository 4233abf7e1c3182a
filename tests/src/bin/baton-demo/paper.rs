//! The page that the transcript is written on: 80 columns, colours only where a terminal shows them.

use std::io::{Write, stdout};

use batonctl::cli::Color;
use batonctl::render::Style;

const WIDTH: usize = 80;
const INDENT: usize = 4;
/// How wide the names of figures are.
const NAMES: usize = 14;

/// A page, or none where only the result counts.
#[derive(Debug)]
pub(crate) struct Paper {
    style: Option<Style>,
    acts: usize,
    /// The last line is empty.
    gap: bool,
}

impl Paper {
    /// The standard output.
    pub(crate) fn stdout() -> Self {
        let color = Style::of_stdout(Color::Auto).color;
        Self { style: Some(Style { color, width: WIDTH - INDENT }), acts: 0, gap: false }
    }

    /// Nothing is written.
    pub(crate) fn none() -> Self {
        Self { style: None, acts: 0, gap: false }
    }

    /// How something that is put on the page with [`Paper::block`] should look.
    pub(crate) fn style(&self) -> Style {
        self.style.unwrap_or(Style { color: false, width: WIDTH - INDENT })
    }

    /// The first line.
    pub(crate) fn title(&mut self, text: &str) {
        let line = format!("{}\n{}\n", self.strong(text), self.dim(&"─".repeat(text.chars().count())));
        self.write(&line);
    }

    /// A new act.
    pub(crate) fn act(&mut self, text: &str) {
        self.acts += 1;
        self.gap();
        let line = format!(" {}  {}\n", self.strong(&self.acts.to_string()), self.strong(text));
        self.write(&line);
    }

    /// A sentence or two.
    pub(crate) fn say(&mut self, text: &str) {
        let mut line = String::new();
        let mut lines = Vec::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - INDENT {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
        self.block(&lines.join("\n"));
    }

    /// Lines as they are, indented.
    pub(crate) fn block(&mut self, text: &str) {
        let lines = text.trim_end().lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("{:INDENT$}{line}\n", ""),
        });
        let lines: String = lines.collect();
        self.write(&lines);
    }

    /// An empty line, where there is none yet.
    pub(crate) fn gap(&mut self) {
        if !self.gap {
            self.write("\n");
        }
    }

    /// A figure and its name.
    pub(crate) fn figure(&mut self, name: &str, value: &str) {
        let line = format!("{:INDENT$}{name:NAMES$}{}\n", "", self.strong(value));
        self.write(&line);
    }

    fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.style {
            Some(Style { color: true, .. }) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// A reader that has gone away does not end the demo half way.
    fn write(&mut self, text: &str) {
        self.gap = text == "\n" || text.ends_with("\n\n");
        if self.style.is_some() {
            let mut out = stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}
