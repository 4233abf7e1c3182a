//! What is needed of S3's answers. They are flat: elements without attributes, that do not hold others of their own name.

/// The content of each `<name>…</name>`, in order, as it stands there.
pub(super) fn elements<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(open.as_str()) {
        let Some((content, after)) = after.split_once(close.as_str()) else { break };
        found.push(content);
        rest = after;
    }
    found
}

/// The text of the first `<name>`.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).first().map(|content| unescape(content))
}

/// Safe within an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescape(text: &str) -> String {
    let named = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    named.replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_and_a_tag() {
        let xml = "<L xmlns=\"u\"><Contents><Key>a</Key><Size>1</Size></Contents><Contents><Key>b&amp;c</Key>\
                   </Contents><IsTruncated>true</IsTruncated></L>";
        let keys: Vec<_> = elements(xml, "Contents").iter().map(|c| text(c, "Key").unwrap()).collect();
        assert_eq!(keys, ["a", "b&c"]);
        assert_eq!(text(xml, "IsTruncated").as_deref(), Some("true"));
        assert_eq!(text(xml, "Missing"), None);
        assert_eq!(elements("<Key>a", "Key"), Vec::<&str>::new());
        assert_eq!(text(&format!("<E>{}</E>", escape("\"x\"&")), "E").as_deref(), Some("\"x\"&"));
    }
}
