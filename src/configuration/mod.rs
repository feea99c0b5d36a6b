//! Configuration after the boot (`flipslot.run=`): one program or playbook, pinned by its digest or commit, fetched and run
//! once the network is there.

pub mod run;
