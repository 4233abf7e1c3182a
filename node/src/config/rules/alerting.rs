//! Whether those who are told what happens can be told.

use std::collections::BTreeSet;

use super::Rules;

/// Entries of one list of those who are told: what was told to each is replicated.
const LISTED_MAX: usize = 5;

impl Rules<'_> {
    pub(super) fn alerts(&mut self) {
        let config = self.config;
        let telegram = &config.telegram;
        if telegram.token_file.is_none() && !telegram.chats.is_empty() {
            let text = "a chat needs a bot; write telegram.token_file, which names the file with its token";
            self.error(&["telegram.chat.0"], text.to_owned());
        }
        if telegram.token_file.is_some() && telegram.chats.is_empty() {
            let text = "a bot without a chat tells nobody; add a [[telegram.chat]]";
            self.warning("telegram.token_file", text.to_owned());
        }
        if telegram.token_file.is_none() && !telegram.users.is_empty() {
            let text =
                "users need a bot to ask; write telegram.token_file, which names the file with its token";
            self.error(&["telegram.users"], text.to_owned());
        }
        self.distinct("telegram.chat", "id", telegram.chats.iter().map(|c| c.id.to_string()));
        self.distinct("webhook", "name", config.webhooks.iter().map(|w| w.name.clone()));
        self.distinct("alert.command", "name", config.alert.commands.iter().map(|c| c.name.clone()));
    }

    fn distinct(&mut self, list: &str, key: &str, values: impl Iterator<Item = String>) {
        let mut seen = BTreeSet::new();
        for (index, value) in values.enumerate() {
            if !seen.insert(value.clone()) {
                let text = format!("two [[{list}]] have the {key} {value}; leave one out");
                self.of_list(list, index, key, text);
            }
            if index == LISTED_MAX {
                let text = format!("{LISTED_MAX} of [[{list}]] are the most; leave some out");
                self.of_list(list, index, key, text);
            }
        }
    }
}
