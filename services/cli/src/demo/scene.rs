//! Everything that has to be there before the first payment: a seller, buyers, money.

use std::sync::Arc;

use access::ApiToken;
use domain::{AccountId, Address, Amount, ApiKeyId, ChainId, Scope, Timestamp};
use runtime::config::NetworkConfig;
use runtime::{Clock, Config};
use secrecy::SecretString;
use store::NewApiKey;
use x402::{Asset, Methods};

use super::api::{Api, Endpoint};
use super::audit::Parties;
use super::buyer::Buyer;
use super::chain_view::ChainView;
use super::plan::{Cast, Kind, Planned, Posting};
use super::receiver::Receiver;
use super::request::{Form, Order};
use crate::failure::{Failure, print};
use crate::http_client::http_client;
use crate::serve::open_store;

/// How many buyers have money.
const BUYERS: usize = 10;

/// What each of them has: five of a token with six decimals.
const FUNDS: u64 = 5_000_000;

/// The key may do what a seller does.
const SCOPES: [Scope; 3] = [Scope::PaymentsWrite, Scope::PaymentsRead, Scope::Webhooks];

const GOOD: Kind = Kind::Good(Posting::Once);

/// A seller with an account, a receiver and an address; buyers; and the chain that they are on.
pub(crate) struct Scene {
    pub(crate) api: Arc<Api>,
    pub(crate) chain: ChainView,
    pub(crate) receiver: Receiver,
    pub(crate) parties: Parties,
    account: AccountId,
    endpoint: Endpoint,
    token: Asset,
    buyers: Vec<Buyer>,
    /// A buyer with an empty wallet.
    pauper: Buyer,
}

impl Scene {
    /// Sets it: opens an account, asks for webhooks, and gives the buyers money.
    pub(crate) async fn set(config: &Config) -> Result<Self, Failure> {
        let (network, token) = first_token(config)?;
        let http = http_client()?;
        let chain = chain_view(&http, network, &token)?;
        let (account, key) = open_account(config).await?;
        let api = Arc::new(Api::new(config, http, key));
        let receiver = Receiver::start().await?;
        let endpoint = api.create_endpoint(receiver.url()).await?;
        receiver.trust(&endpoint.secret)?;

        let buyers: Vec<Buyer> = (0..BUYERS).map(|_| Buyer::new()).collect();
        // Nobody has its key, so nothing ever leaves this address.
        let (pauper, seller) = (Buyer::new(), Buyer::new().address());
        let rich: Vec<Address> = buyers.iter().map(Buyer::address).collect();
        let since = chain.height().await;
        chain.mint(&rich, FUNDS.into(), network.confirmations).await?;
        let mut had: Vec<(Address, Amount)> =
            rich.into_iter().map(|buyer| (buyer, FUNDS.into())).collect();
        had.push((pauper.address(), Amount::ZERO));
        let parties = Parties { seller, buyers: had, since };
        Ok(Self { api, chain, receiver, parties, account, endpoint, token, buyers, pauper })
    }

    /// Says who takes part.
    pub(crate) fn describe(&self) -> Result<(), Failure> {
        print(format_args!("seller    {}, paid at {}", self.account, self.parties.seller))?;
        print(format_args!("webhooks  to {}", self.receiver.url()))?;
        let (name, chain) = (&self.token.name, self.token.chain);
        print(format_args!("buyers    {BUYERS} with {FUNDS} units of {name} each, on {chain}\n"))
    }

    /// Every payment, signed.
    pub(crate) fn plan(&self) -> Result<Vec<Planned>, Failure> {
        let cast = Cast {
            token: &self.token,
            pay_to: self.parties.seller,
            buyers: &self.buyers,
            pauper: &self.pauper,
            now: Clock::system().now_unix_secs(),
        };
        cast.plan()
    }

    /// Leaves nothing behind that calls a receiver that is gone.
    pub(crate) async fn close(&self) {
        self.api.delete_endpoint(&self.endpoint.id).await;
    }
}

/// Prints the body of `POST /v1/payments` for one payment that a buyer with money has signed.
pub(crate) async fn print_payment(config: &Config) -> Result<(), Failure> {
    let (network, token) = first_token(config)?;
    let chain = chain_view(&http_client()?, network, &token)?;
    let (buyers, pauper) = ([Buyer::new()], Buyer::new());
    chain.mint(&[buyers[0].address()], FUNDS.into(), 1).await?;
    let cast = Cast {
        token: &token,
        pay_to: Buyer::new().address(),
        buyers: &buyers,
        pauper: &pauper,
        now: Clock::system().now_unix_secs(),
    };
    let order = Order { reference: "hello".to_owned(), ..cast.payment(0, GOOD)?.order };
    print(order.body(Form::V2Object))
}

/// The first token of the first network.
fn first_token(config: &Config) -> Result<(&NetworkConfig, Asset), Failure> {
    let lacks = |what: &str| Failure::Said(format!("the demo needs {what} in the settings"));
    let network = config.networks.first().ok_or_else(|| lacks("a network"))?;
    let asset = network.assets.first().ok_or_else(|| lacks("a token"))?;
    let address = asset.address.as_str().parse().map_err(|_| lacks("a token's address"))?;
    let chain = ChainId::new(network.chain_id).ok_or_else(|| lacks("a chain id"))?;
    let (name, version) = (asset.name.clone(), asset.version.clone());
    Ok((network, Asset { chain, address, name, version, methods: Methods::EIP3009 }))
}

fn chain_view(
    http: &reqwest::Client,
    network: &NetworkConfig,
    token: &Asset,
) -> Result<ChainView, Failure> {
    let url = network.rpc_urls.first();
    let url = url.ok_or_else(|| Failure::Said("the demo needs a node in the settings".into()))?;
    Ok(ChainView::new(http.clone(), url.expose().to_owned(), token.address))
}

/// Opens an account for the seller, with a key.
async fn open_account(config: &Config) -> Result<(AccountId, SecretString), Failure> {
    let store = open_store(config)?;
    let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    let account = AccountId::new(runtime::new_uuid());
    store.create_account(account, "demo", now).await?;
    let token = ApiToken::generate();
    let key = NewApiKey {
        id: ApiKeyId::new(runtime::new_uuid()),
        account,
        token_sha256: token.sha256(),
        last_four: token.last_four().to_owned(),
        scopes: SCOPES.to_vec(),
        expires_at: None,
    };
    store.create_api_key(&key, now).await?;
    Ok((account, token.reveal().to_owned().into()))
}
