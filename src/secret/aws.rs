//! The AWS configuration of this machine: region, endpoint and credentials from the environment, a profile, a container or an
//! instance, so that whatever works for the AWS command line works here.

use std::sync::Once;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use tokio::sync::OnceCell;

static CONFIGURATION: OnceCell<SdkConfig> = OnceCell::const_new();

/// The configuration, read once, in this region where one is given.
pub(crate) async fn configuration(region: Option<&str>) -> SdkConfig {
    let load = || async { aws_config::defaults(BehaviorVersion::latest()).load().await };
    let found = CONFIGURATION.get_or_init(load).await;
    match region {
        Some(region) => found.to_builder().region(Region::new(region.to_owned())).build(),
        None => found.clone(),
    }
}

/// Several TLS libraries are linked; who builds a connection without naming one takes this.
pub(crate) fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // That another was installed before is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
