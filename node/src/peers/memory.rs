//! A wire of the simulation: a call stays in the process, in the very types of the network.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Channel;

use crate::state::NodeName;

/// Which of the two connections to a peer: 0 for the first.
pub type Lane = usize;

/// Makes one of the connections to a peer.
pub type Dial = Arc<dyn Fn(&NodeName, Lane) -> Wire + Send + Sync>;

/// Carries a call there and its answer back.
type Carry = Arc<dyn Fn(http::Request<Body>) -> Answer + Send + Sync>;

/// What comes back.
type Answer = BoxFuture<'static, Result<http::Response<Body>, Status>>;

/// What carries calls.
#[derive(Clone)]
pub enum Wire {
    /// A connection.
    Tcp(Channel),
    /// The simulation's network. A status that it answers is what the caller sees.
    Memory(Carry),
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Tcp(channel) => channel.poll_ready(context).map_err(Into::into),
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self {
            Self::Tcp(channel) => {
                let answer = channel.call(request);
                Box::pin(async move { answer.await.map_err(Into::into) })
            }
            Self::Memory(carry) => {
                let answer = carry(request);
                Box::pin(async move { answer.await.map_err(Into::into) })
            }
        }
    }
}
