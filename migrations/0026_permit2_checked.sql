-- No payment there is has a spender that is no address. Checked apart, so that payments are taken meanwhile.

alter table payments validate constraint payments_permit2_spender;
