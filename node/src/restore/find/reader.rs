//! What a statement is made of: words that are passed or looked for, and names of tables. Pure.

use std::iter::Peekable;

use super::tokens::{Token, Tokens};

/// A table, or with `*` a whole database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// Empty where nobody says it.
    pub(super) schema: String,
    pub(super) table: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { schema, table } = self;
        if schema.is_empty() { f.write_str(table) } else { write!(f, "{schema}.{table}") }
    }
}

/// Reads a statement's words one after another.
pub(super) struct Reader<'t> {
    /// In which it ran.
    pub(super) schema: &'t str,
    pub(super) tokens: Peekable<Tokens<'t>>,
}

impl<'t> Reader<'t> {
    pub(super) fn of(schema: &'t str, text: &'t str) -> Self {
        Self { schema, tokens: Tokens::of(text).peekable() }
    }

    pub(super) fn word(&mut self) -> Option<&'t str> {
        loop {
            match self.tokens.next()? {
                Token::Word(word) => return Some(word),
                Token::Mark('(' | ';') => {}
                _ => return None,
            }
        }
    }

    pub(super) fn is_word(&mut self, of: &[&str]) -> bool {
        matches!(self.tokens.peek(), Some(Token::Word(word)) if is_one_of(word, of))
    }

    pub(super) fn eat(&mut self, of: &[&str]) -> bool {
        let is_it = self.is_word(of);
        if is_it {
            self.tokens.next();
        }
        is_it
    }

    pub(super) fn eat_mark(&mut self, mark: char) -> bool {
        self.tokens.next_if_eq(&Token::Mark(mark)).is_some()
    }

    /// IF EXISTS, IF NOT EXISTS
    pub(super) fn eat_exists(&mut self) {
        if self.eat(&["IF"]) {
            while self.eat(&["NOT", "EXISTS"]) {}
        }
    }

    /// To behind the next of these words that is in no parenthesis.
    pub(super) fn pass_to(&mut self, ends: &[&str]) -> Option<&'t str> {
        let mut depth = 0;
        loop {
            match self.tokens.next()? {
                Token::Word(word) if depth == 0 && is_one_of(word, ends) => return Some(word),
                token => depth = deeper(depth, &token),
            }
        }
    }

    /// To behind the end of the one that has begun.
    pub(super) fn pass_parenthesis(&mut self) {
        let mut depth = 1;
        while depth > 0
            && let Some(token) = self.tokens.next()
        {
            depth = deeper(depth, &token);
        }
    }

    pub(super) fn names(&mut self) -> Vec<Name> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.eat_mark(',') {
                break;
            }
        }
        names
    }

    /// A table's name, with or without its schema.
    pub(super) fn name(&mut self) -> Option<Name> {
        self.eat_mark('.');
        let first = self.identifier()?;
        let own = |table| Name { schema: self.schema.to_owned(), table };
        if self.tokens.peek() != Some(&Token::Mark('.')) {
            return Some(own(first));
        }
        let name = own(first.clone());
        self.tokens.next();
        match self.identifier() {
            Some(table) => Some(Name { schema: first, table }),
            // DELETE FROM t.*
            None => {
                self.eat_mark('*');
                Some(name)
            }
        }
    }

    pub(super) fn database(&mut self) -> Option<Name> {
        Some(Name { schema: self.identifier()?, table: "*".to_owned() })
    }

    pub(super) fn identifier(&mut self) -> Option<String> {
        match self.tokens.next_if(|token| matches!(token, Token::Word(_) | Token::Name(_)))? {
            Token::Word(word) => Some(word.to_owned()),
            Token::Name(name) => Some(name),
            _ => None,
        }
    }
}

pub(super) fn is_one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|one| word.eq_ignore_ascii_case(one))
}

pub(super) fn deeper(depth: u32, token: &Token<'_>) -> u32 {
    match token {
        Token::Mark('(') => depth.saturating_add(1),
        Token::Mark(')') => depth.saturating_sub(1),
        _ => depth,
    }
}
