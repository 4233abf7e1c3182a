//! Who may see the page of a node that has a token: whoever shows it, and for a while after that the same browser.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::sleep;

use super::Viewing;

/// For so long a browser that showed the token need not show it again, in seconds.
const STAYS_S: i64 = 12 * 3600;
/// Wrong tokens are answered one after the other, each so late: nobody guesses one.
const WRONG: Duration = Duration::from_millis(500);
/// So many wait for that at a time.
const WAITING: usize = 16;
const COOKIE: &str = "baton";
/// Of the form, in bytes.
pub(super) const FORM_MAX: usize = 4 * 1024;

const FORM: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Baton</title>\n\
    <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"page.css\">\n</head>\n<body>\n\
    <main class=\"entrance\">\n<h1>Baton</h1>\n<form method=\"post\" action=\"enter\">\n\
    <p><label for=\"token\">Token of this cluster's page</label></p>\n\
    <p><input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus>\n\
    <button id=\"enter\">Show</button></p>\n<p class=\"said-wrong\" role=\"alert\">WHY</p>\n\
    <p class=\"dim\">It is in the file that <code>http.token_file</code> names on the node.</p>\n</form>\n</main>\n</body>\n</html>\n";

/// What the token is compared by.
pub(super) struct Entrance {
    key: hmac::Key,
    waiting: Semaphore,
    turn: Mutex<()>,
}

impl Entrance {
    pub(super) fn new(token: &SecretString) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes());
        Self { key, waiting: Semaphore::new(WAITING), turn: Mutex::new(()) }
    }

    /// Whether a request may see the page: by the token in a header, or by the cookie of an earlier visit.
    pub(super) fn admits(&self, headers: &HeaderMap, now_s: i64) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
            return self.is_token(token);
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|all| all.split(';'))
            .filter_map(|one| one.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .any(|pass| self.is_pass(pass, now_s))
    }

    /// The answer to a wrong token.
    pub(super) async fn wrong(&self) -> Response {
        let Ok(_place) = self.waiting.try_acquire() else {
            return (StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens\n").into_response();
        };
        let _turn = self.turn.lock().await;
        sleep(WRONG).await;
        form("That is not the token of this cluster's page.")
    }

    /// In a time that does not depend on where they differ.
    fn is_token(&self, shown: &str) -> bool {
        const SAID: &[u8] = b"the token";
        let shown = hmac::Key::new(hmac::HMAC_SHA256, shown.as_bytes());
        hmac::verify(&shown, SAID, hmac::sign(&self.key, SAID).as_ref()).is_ok()
    }

    /// What a browser shows from then on: until when, and a proof that whoever has the token said so.
    fn pass(&self, now_s: i64) -> String {
        let until = now_s.saturating_add(STAYS_S);
        format!("{until}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, said(until).as_bytes())))
    }

    fn is_pass(&self, pass: &str, now_s: i64) -> bool {
        let Some((until, proof)) = pass.split_once('.') else { return false };
        let (Ok(until), Some(proof)) = (until.parse::<i64>(), URL_SAFE_NO_PAD.decode(proof).ok()) else {
            return false;
        };
        now_s < until && hmac::verify(&self.key, said(until).as_bytes(), &proof).is_ok()
    }
}

fn said(until: i64) -> String {
    format!("may see the page until {until}")
}

/// The form in place of the page.
pub(super) fn form(why: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, kind, FORM.replace("WHY", why)).into_response()
}

/// `POST /enter`: the form, filled in. The token itself is kept by no browser.
pub(super) async fn enter(State(viewing): State<Viewing>, body: Bytes) -> Response {
    let Some(entrance) = &viewing.entrance else {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "./")]).into_response();
    };
    let shown = std::str::from_utf8(&body).ok().and_then(token_of);
    if !shown.is_some_and(|token| entrance.is_token(&token)) {
        return entrance.wrong().await;
    }
    let pass = entrance.pass(Timestamp::now().as_second());
    let cookie = format!("{COOKIE}={pass}; Path=/; Max-Age={STAYS_S}; HttpOnly; SameSite=Strict");
    let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, "./")]).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// The field of a form, as browsers send it.
fn token_of(form: &str) -> Option<String> {
    let field = form.split('&').find_map(|field| field.strip_prefix("token="))?;
    let (mut bytes, mut left) = (Vec::new(), field.bytes());
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [left.next()?, left.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    fn entrance(token: &str) -> Entrance {
        Entrance::new(&SecretString::from(token))
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[test]
    fn the_token_or_a_pass_of_the_same_token_admits() {
        let ours = entrance("correct horse battery");
        let bearer = |token: &str| with(header::AUTHORIZATION, &format!("Bearer {token}"));
        assert!(ours.admits(&bearer("correct horse battery"), NOW_S));
        for wrong in ["", "correct horse", "correct horse battery ", "Correct horse battery"] {
            assert!(!ours.admits(&bearer(wrong), NOW_S), "{wrong}");
        }
        let cookie = |pass: &str| with(header::COOKIE, &format!("other=1; {COOKIE}={pass}; last=2"));
        let pass = ours.pass(NOW_S);
        assert!(ours.admits(&cookie(&pass), NOW_S + STAYS_S - 1));
        assert!(!ours.admits(&cookie(&pass), NOW_S + STAYS_S), "it has ended");
        assert!(!entrance("another token").admits(&cookie(&pass), NOW_S), "the token was changed");
        let (until, proof) = pass.split_once('.').unwrap();
        let later = until.parse::<i64>().unwrap() + 1;
        for forged in [
            format!("{later}.{proof}"),
            format!("{until}."),
            until.to_owned(),
            format!("{until}.{}", &proof[1..]),
        ] {
            assert!(!ours.admits(&cookie(&forged), NOW_S), "{forged}");
        }
        assert!(!ours.admits(&HeaderMap::new(), NOW_S));
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        assert_eq!(token_of("token=a%2Bb+c%C3%A9").unwrap(), "a+b cé");
        assert_eq!(token_of("x=1&token=abc").unwrap(), "abc");
        for wrong in ["", "tokens=a", "token=%", "token=%4", "token=%zz", "token=%ff"] {
            assert_eq!(token_of(wrong), None, "{wrong}");
        }
    }
}
