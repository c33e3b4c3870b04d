//! Where the key document is.

use std::fs::File;
use std::io::{self, Read};

use receipt::{KeyDocument, MAX_DOCUMENT_BYTES};
use reqwest::Response;

use crate::failure::Failure;
use crate::http_client::http_client;

/// The document, or in words why there is none.
pub(super) async fn read(source: &str) -> Result<Result<KeyDocument, String>, Failure> {
    let bytes = if source.starts_with("https://") || source.starts_with("http://") {
        fetch(source).await?
    } else {
        from_file(source).map_err(|error| error.to_string())
    };
    Ok(bytes.and_then(|bytes| KeyDocument::parse(&bytes).map_err(|error| error.to_string())))
}

fn from_file(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(name)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn fetch(url: &str) -> Result<Result<Vec<u8>, String>, Failure> {
    let answer = http_client()?.get(url).send().await;
    Ok(match answer {
        Ok(answer) if answer.status().is_success() => body(answer).await,
        Ok(answer) => Err(format!("the answer was {}", answer.status())),
        // Without the URL, in which a password may stand.
        Err(error) => Err(error.without_url().to_string()),
    })
}

async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(more) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
        bytes.extend_from_slice(&more);
        if bytes.len() > MAX_DOCUMENT_BYTES {
            break;
        }
    }
    Ok(bytes)
}
