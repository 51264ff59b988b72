//! Logging in: the user and the password of new connections.
//!
//! etcd's authentication can be switched on and off, and the password can be changed, while we run:
//! - where authentication is off, we connect without the user, and log in when a call is refused;
//! - the password is read for each connection; where it is refused, the last one that worked is tried.

use etcd_client::{Client, ConnectOptions, Error as ClientError};
use parking_lot::Mutex;

use super::super::{
    failure::{About, Failure},
    options::{EtcdOptions, Password, Secret},
};
use crate::Error;

/// The credentials of a user.
pub(super) struct Login {
    username: String,
    password: Option<Password>,
    last_good: Mutex<Option<Secret>>,
}

/// Connects without a user. This does no IO: the first call does.
pub(super) async fn connect(url: &str, options: ConnectOptions) -> Result<Client, Failure> {
    let connected = Client::connect([url], Some(options)).await;
    connected.map_err(|err| Failure::of(err, About::NOTHING))
}

impl Login {
    /// The login that `options` ask for.
    pub(super) fn of(options: &EtcdOptions) -> Option<Self> {
        let username = options.username.clone()?;
        let password = options.password.clone();
        Some(Self { username, password, last_good: Mutex::new(None) })
    }

    /// Connects and logs in.
    pub(super) async fn connect(
        &self,
        url: &str,
        options: &ConnectOptions,
    ) -> Result<Client, Failure> {
        let last_good = self.last_good.lock().clone();
        let current = match self.password.as_ref().map(Password::read).transpose() {
            Ok(current) => Some(current.unwrap_or_else(|| Secret::new(""))),
            Err(error) if last_good.is_some() => {
                tracing::warn!(%error, "the password of etcd cannot be read; using the last one");
                None
            }
            Err(error) => {
                let reason = format!("the password of etcd cannot be read: {error}");
                return Err(Failure::Final(Error::Unauthorized { reason }));
            }
        };
        let other = last_good.filter(|last| current.as_ref() != Some(last));
        let mut refusal = None;
        for password in current.into_iter().chain(other) {
            let with_user = options.clone().with_user(self.username.clone(), password.reveal());
            match Client::connect([url], Some(with_user)).await {
                Ok(client) => {
                    *self.last_good.lock() = Some(password);
                    return Ok(client);
                }
                Err(err) if is_switched_off(&err) => return connect(url, options.clone()).await,
                Err(err) => match Failure::of(err, About::NOTHING) {
                    Failure::Unauthorized(reason) => {
                        refusal.get_or_insert(reason);
                    }
                    failure => return Err(failure),
                },
            }
        }
        Err(Failure::Unauthorized(refusal.unwrap_or_default()))
    }
}

/// `true` if etcd asks for no user.
fn is_switched_off(err: &ClientError) -> bool {
    matches!(err, ClientError::GRpcStatus(status)
        if status.message().contains("authentication is not enabled"))
}
