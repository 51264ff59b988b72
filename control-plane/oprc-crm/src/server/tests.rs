use std::{fs, sync::Arc, time::Duration};

use oprc_config::Credential;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::token::Tokens;

#[tokio::test]
async fn a_token_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let tokens = Arc::new(Tokens::load(Credential::File(path.clone())).unwrap());
    assert!(tokens.accept("first") && !tokens.accept("first\n") && !tokens.accept(""));
    let stop = CancellationToken::new();
    let running = tokio::spawn(super::token::run(Arc::clone(&tokens), stop.clone()));
    fs::write(&path, "second").unwrap();
    let accepted = async {
        while !tokens.accept("second") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), accepted).await.unwrap();
    assert!(!tokens.accept("first"));
    stop.cancel();
    running.await.unwrap();
}
