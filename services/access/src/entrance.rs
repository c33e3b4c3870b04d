//! What stands before every route of both APIs.

use axum::Router;
use queue::Queue;
use runtime::http::Frontage;
use runtime::{Clock, Config};

use crate::{ApiKeys, Jwt, JwtSetupError, LimitSettings, Porter};

/// The names that an API answers for, and how often it may be asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Entrance {
    frontage: Frontage,
    porter: Porter,
}

impl Entrance {
    /// As the configuration has it, for an API that looks its keys up here, and takes tokens beside
    /// them where that is configured. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`JwtSetupError`] when tokens are to be taken and cannot be checked.
    pub fn from_config(
        config: &Config,
        keys: ApiKeys,
        queue: &Queue,
        clock: Clock,
    ) -> Result<Self, JwtSetupError> {
        if let Some(tokens) = Jwt::from_config(config)? {
            keys.take_tokens(tokens);
        }
        let frontage = Frontage::from_config(&config.http);
        let porter = Porter::new(LimitSettings::from_config(config), keys, queue, clock);
        Ok(Self { frontage, porter })
    }

    /// Puts it before every route of this router. What is for another host is not counted.
    pub fn before(&self, router: Router) -> Router {
        self.frontage.before(self.porter.before(router))
    }
}
