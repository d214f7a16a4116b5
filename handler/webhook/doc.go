// Package webhook signs and verifies HTTP requests by the Standard Webhooks
// specification (https://www.standardwebhooks.com), so that who receives one
// knows who sent it, that nobody changed it, and that it is not an old one sent
// again.
//
//	signer, err := webhook.NewSigner("whsec_…")              // the sender
//	err = signer.Sign(request.Header, id, time.Now(), body)
//
//	verifier, err := webhook.NewVerifier([]string{"whsec_…"}, nil) // the receiver
//	id, err = verifier.Verify(request.Header, body)
//
// A signed request has three headers: webhook-id, which is the same each time that
// one event is sent and so identifies duplicates; webhook-timestamp, the time of this
// attempt in seconds since 1970; and webhook-signature, one or more of "v1," and the
// base64 of the HMAC-SHA256 of "id.timestamp.body", with spaces between. It covers
// the raw body, before anything parses it: JSON that was decoded and encoded again is
// another text. The rest of the request, such as its path and other headers, is not
// signed.
//
// A secret is the base64 of 24 to 64 random bytes, with the prefix "whsec_". To
// change it: give the receiver both, then the sender both or the new one alone,
// then take the old one away. Both ends take several for that.
//
// The specification's second scheme, v1a, signs with Ed25519: the sender has a
// private key, "whsk_" and the base64 of its seed of 32 bytes, and the receiver only the
// public one, "whpk_" and the base64 of 32 bytes, which can verify and not sign.
// Signer and Verifier take both kinds, also mixed. Signatures of other versions are
// passed over.
package webhook
