//! A cluster whose backups and binlog go to a folder.

use std::fs;

use anyhow::Result;
use baton_node::backup::pipeline::Identity;

use super::{Cluster, ClusterOptions};
use crate::sandbox::{Dialect, server_program};

impl Cluster {
    /// As [`Cluster::managed`], with a store, an archive of the binlog in it, and a schedule for two in the morning. Nobody has the
    /// key that opens the backups.
    ///
    /// # Errors
    /// As [`Cluster::managed`].
    pub async fn backed_up(options: ClusterOptions) -> Result<Self> {
        let program = match options.dialect {
            Dialect::MySql => "mysqldump",
            Dialect::MariaDb => "mariadb-dump",
        };
        let program = server_program(options.dialect).await?.0.with_file_name(program);
        let sections = format!(
            "\n[backup]\nengine = \"dump\"\nescrow = \"{}\"\ndump_program = \"{}\"\nstage = \"{{root}}/stage\"\n\
             [[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"{{root}}/store\"\n\
             [[backup.schedule]]\nname = \"daily\"\ncron = \"0 2 * * *\"\n\
             [archive]\nstore = \"disk\"\nsegment_every = \"1s\"\n",
            Identity::generate()?.recipient(),
            program.display()
        );
        let cluster = Self::managed(ClusterOptions { sections, ..options }).await?;
        for folder in ["store", "stage"] {
            fs::create_dir(cluster.folder().join(folder))?;
        }
        Ok(cluster)
    }
}
