"""The signer's HTTP API; `notary_common.wire` is the contract."""
