//! What a URL is called where anybody may read it.

use std::collections::HashMap;

use reqwest::Url;

/// A name for each URL, in their order: its host, and its port if it names one, because anything
/// else in it may be a key. Further ones of the same name are numbered.
pub(crate) fn url_names(urls: &[Url]) -> Vec<String> {
    let mut often: HashMap<String, usize> = HashMap::new();
    urls.iter()
        .map(|url| {
            let host = url.host_str().unwrap_or("?");
            let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            let number = often.entry(name.clone()).or_default();
            *number = number.saturating_add(1);
            if *number == 1 { name } else { format!("{name}#{number}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_the_host_and_the_port_and_nothing_secret() {
        let urls = [
            "https://user:secret@rpc.example.com/v2/secret?key=secret#secret",
            "https://rpc.example.com/other",
            "https://rpc.example.com:8443/secret",
            "http://127.0.0.1:8545",
            "http://[::1]:8545/secret",
            "https://rpc.example.com",
        ];
        let urls = urls.map(|url| url.parse::<Url>().unwrap());
        let expected = [
            "rpc.example.com",
            "rpc.example.com#2",
            "rpc.example.com:8443",
            "127.0.0.1:8545",
            "[::1]:8545",
            "rpc.example.com#3",
        ];
        assert_eq!(url_names(&urls), expected);
    }
}
