-- No payment there is names a host that is too long. Checked apart, so that payments are taken meanwhile.

alter table payments validate constraint payments_resource_host;
