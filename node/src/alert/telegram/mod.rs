//! Telegram: a bot that tells chats what happens, and changes what it said as that goes on.

mod api;
pub mod buttons;
mod listen;
pub mod replies;

use std::sync::Arc;

pub(super) use api::Bot;
pub use listen::Answers;
pub(super) use listen::{Desk, Ears};
use serde_json::json;

use super::due::Due;
use super::sink::Outcome;
use super::words::html;

/// One chat.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) bot: Arc<Bot>,
    pub(super) id: i64,
}

impl Chat {
    /// Sends a new message, or changes the one that was sent.
    pub(super) async fn tell(&self, cluster: &str, due: &Due) -> Outcome {
        let mut message = json!({
            "chat_id": self.id,
            "text": html(cluster, due),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        });
        if !due.buttons.is_empty() {
            let row: Vec<_> =
                due.buttons.iter().map(|b| json!({ "text": b.text, "callback_data": b.data })).collect();
            message["reply_markup"] = json!({ "inline_keyboard": [row] });
        }
        match due.edit {
            Some(id) => {
                message["message_id"] = id.into();
                self.bot.change(&message, id).await
            }
            None => {
                message["disable_notification"] = due.silent.into();
                self.bot.send(&message).await
            }
        }
    }
}
