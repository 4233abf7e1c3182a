//! Who comes in, on either port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Shared;

/// Connections, for their greeting.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Takes connections until it is dropped, which cuts all of them.
pub(super) async fn take<F>(
    listener: TcpListener,
    shared: Arc<Shared>,
    serve: impl Fn(TcpStream, u32, Arc<Shared>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => if let Ok((stream, _)) = taken {
                let id = NEXT.fetch_add(1, Ordering::Relaxed);
                sessions.spawn(serve(stream, id, Arc::clone(&shared)));
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}
