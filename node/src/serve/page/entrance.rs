//! Who may see the page of a node that has a token: whoever shows it, and for a while after that the same browser.

use std::sync::Arc;
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
/// So many wait for that at a time. A token that is shown meanwhile is looked at by nobody.
const WAITING: usize = 16;
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
    /// One for each token: browsers do not tell the ports of a host apart, behind which another node or cluster may be.
    cookie: String,
    waiting: Arc<Semaphore>,
    turn: Arc<Mutex<()>>,
}

impl Entrance {
    pub(super) fn new(token: &SecretString) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes());
        let digest = hmac::sign(&key, b"the cookie's name");
        let digits = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}"));
        let cookie = format!("baton-{}", digits.collect::<String>());
        Self { key, cookie, waiting: Arc::new(Semaphore::new(WAITING)), turn: Arc::default() }
    }

    /// Until when a request may see the page by the cookie of an earlier visit, in seconds since 1970.
    pub(super) fn stays(&self, headers: &HeaderMap, now_s: i64) -> Option<i64> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|all| all.split(';'))
            .filter_map(|one| one.trim().strip_prefix(&self.cookie)?.strip_prefix('='))
            .find_map(|pass| self.until(pass, now_s))
    }

    /// Whether this is the token.
    ///
    /// # Errors
    /// The answer to whoever shows another, or shows one while others are waited for.
    pub(super) async fn shown(&self, token: Option<&str>) -> Result<(), Response> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err((StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens\n").into_response());
        };
        if token.is_some_and(|token| self.is_token(token)) {
            return Ok(());
        }
        let turn = Arc::clone(&self.turn);
        // Whoever hangs up is waited for all the same: else a guess would cost nothing.
        let waited = crate::task::spawn(async move {
            let _place = place;
            let _turn = turn.lock().await;
            sleep(WRONG).await;
        });
        let _over = waited.await;
        Err(form("That is not the token of this cluster's page."))
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

    fn until(&self, pass: &str, now_s: i64) -> Option<i64> {
        let (until, proof) = pass.split_once('.')?;
        let (until, proof) = (until.parse::<i64>().ok()?, URL_SAFE_NO_PAD.decode(proof).ok()?);
        let is_good = now_s < until && hmac::verify(&self.key, said(until).as_bytes(), &proof).is_ok();
        is_good.then_some(until)
    }
}

fn said(until: i64) -> String {
    format!("may see the page until {until}")
}

/// The token that a program shows in a header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The form in place of the page.
pub(super) fn form(why: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, kind, FORM.replace("WHY", why)).into_response()
}

/// `POST /enter`: the form, filled in. The token itself is kept by no browser.
pub(super) async fn enter(State(viewing): State<Viewing>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(entrance) = &viewing.entrance else {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "./")]).into_response();
    };
    let shown = std::str::from_utf8(&body).ok().and_then(token_of);
    if let Err(refused) = entrance.shown(shown.as_deref()).await {
        return refused;
    }
    let pass = entrance.pass(Timestamp::now().as_second());
    // As a proxy says that speaks TLS to the browser.
    let is_private = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_private { "; Secure" } else { "" };
    let name = &entrance.cookie;
    let cookie = format!("{name}={pass}; Path=/; Max-Age={STAYS_S}; HttpOnly; SameSite=Strict{secure}");
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

    #[tokio::test(start_paused = true)]
    async fn the_token_admits_and_no_other() {
        let ours = entrance("correct horse battery");
        let bearing = |token: &str| with(header::AUTHORIZATION, &format!("Bearer {token}"));
        assert!(ours.shown(bearer(&bearing("correct horse battery"))).await.is_ok());
        for wrong in ["", "correct horse", "correct horse battery ", "Correct horse battery"] {
            assert!(ours.shown(Some(wrong)).await.is_err(), "{wrong}");
        }
        assert_eq!(bearer(&with(header::AUTHORIZATION, "Basic Zm9vOmJhcg==")), None, "a proxy's own");
    }

    #[tokio::test(start_paused = true)]
    async fn while_wrong_tokens_are_waited_for_none_is_looked_at() {
        let ours = Arc::new(entrance("correct horse battery"));
        let guess =
            async |token: &'static str| ours.shown(Some(token)).await.map_err(|answer| answer.status());
        let guesses = futures::future::join_all((0..WAITING).map(|_| guess("wrong")));
        let late = async {
            tokio::task::yield_now().await;
            guess("correct horse battery").await
        };
        let (answers, late) = tokio::join!(guesses, late);
        assert!(answers.iter().all(|answer| *answer == Err(StatusCode::UNAUTHORIZED)));
        assert_eq!(late, Err(StatusCode::TOO_MANY_REQUESTS));
        assert!(guess("correct horse battery").await.is_ok());
    }

    #[test]
    fn a_pass_of_the_same_token_admits_for_a_while() {
        let ours = entrance("correct horse battery");
        let cookie = |pass: &str| with(header::COOKIE, &format!("other=1; {}={pass}; last=2", ours.cookie));
        let pass = ours.pass(NOW_S);
        assert_eq!(ours.stays(&cookie(&pass), NOW_S + STAYS_S - 1), Some(NOW_S + STAYS_S));
        assert_eq!(ours.stays(&cookie(&pass), NOW_S + STAYS_S), None, "it has ended");
        let another = entrance("another token");
        assert_ne!(another.cookie, ours.cookie);
        let theirs = with(header::COOKIE, &format!("{}={pass}", another.cookie));
        assert_eq!(another.stays(&theirs, NOW_S), None, "the token was changed");
        let (until, proof) = pass.split_once('.').unwrap();
        let later = until.parse::<i64>().unwrap() + 1;
        for forged in [
            format!("{later}.{proof}"),
            format!("{until}."),
            until.to_owned(),
            format!("{until}.{}", &proof[1..]),
        ] {
            assert_eq!(ours.stays(&cookie(&forged), NOW_S), None, "{forged}");
        }
        assert_eq!(ours.stays(&HeaderMap::new(), NOW_S), None);
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
