//! The words of a statement, without its comments. Pure.

use std::iter::Peekable;
use std::str::CharIndices;

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A keyword, a name or a number, as it stands there.
    Word(&'t str),
    /// A name in backticks or double quotes. Where double quotes are those of a text, none is looked at.
    Name(String),
    /// A text.
    Text,
    Mark(char),
}

/// Reads a statement. What a comment has executed (`/*! … */`, MariaDB's `/*M! … */`) is part of it.
pub(super) struct Tokens<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, chars: text.char_indices().peekable() }
    }

    fn starts_with(&mut self, what: &str) -> bool {
        let at = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text.get(at..).is_some_and(|rest| rest.starts_with(what))
    }

    fn pass(&mut self, count: usize) {
        for _ in 0..count {
            self.chars.next();
        }
    }

    fn pass_while(&mut self, is_of: impl Fn(char) -> bool) {
        while self.chars.next_if(|(_, c)| is_of(*c)).is_some() {}
    }

    /// White space and comments.
    fn pass_gap(&mut self) {
        loop {
            self.pass_while(char::is_whitespace);
            let executed = ["/*!", "/*M!"].into_iter().find(|begin| self.starts_with(begin));
            if let Some(begin) = executed {
                self.pass(begin.len());
                // From which version on.
                self.pass_while(|c| c.is_ascii_digit());
            } else if self.starts_with("*/") {
                self.pass(2);
            } else if self.starts_with("/*") {
                self.pass(2);
                while self.chars.peek().is_some() && !self.starts_with("*/") {
                    self.pass(1);
                }
                self.pass(2);
            } else if self.starts_with("#") || self.is_dashes() {
                self.pass_while(|c| c != '\n');
            } else {
                return;
            }
        }
    }

    /// Two of them begin a comment where a space, or nothing, follows.
    fn is_dashes(&mut self) -> bool {
        let at = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        let after = self.text.get(at..).and_then(|rest| rest.strip_prefix("--"));
        after.is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
    }

    /// Up to the quote that ends it. A doubled one is one of the text.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next() {
            if c == quote && self.chars.next_if(|(_, next)| *next == quote).is_none() {
                break;
            }
            let escaped = if c == '\\' && quote != '`' { self.chars.next() } else { None };
            text.push(escaped.map_or(c, |(_, c)| c));
        }
        text
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        self.pass_gap();
        let (at, first) = self.chars.next()?;
        Some(match first {
            '`' | '"' => Token::Name(self.quoted(first)),
            '\'' => {
                self.quoted(first);
                Token::Text
            }
            c if is_of_word(c) => {
                self.pass_while(is_of_word);
                let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
                Token::Word(self.text.get(at..end).unwrap_or_default())
            }
            c => Token::Mark(c),
        })
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || (!c.is_ascii() && !c.is_whitespace())
}
