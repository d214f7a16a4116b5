package pubsubpush

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signatureRemoved replaces the signature of some tokens that Cloud Run and Cloud Run
// functions have verified, so that the program can't use them elsewhere (Cloud Run's
// troubleshooting page, "Identity token signature redacted by Google").
const signatureRemoved = ".SIGNATURE_REMOVED_BY_GOOGLE"

// maxToken bounds the size of a token: Google's have about 1,200 bytes.
const maxToken = 8 << 10

var (
	// issuers are Google's names in its ID tokens.
	issuers = []string{"https://accounts.google.com", "accounts.google.com"}
	// algorithms are the permitted signature algorithms. They exclude "none" and the
	// symmetric ones, for which a public key would serve as the secret.
	algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
)

// errForbidden is the error of a valid token of an account that may not push.
var errForbidden = errors.New("the token's service account may not push")

// A verifier verifies bearer tokens.
type verifier struct {
	keys      *keySet
	audiences []string
	emails    []string
	skew      time.Duration
}

// claims are the contents of a token.
type claims struct {
	jwt.Claims
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
}

// verify returns an error unless the request may push: errKeys if its token can't be
// verified now, and errForbidden if it is another account's.
func (v *verifier) verify(ctx context.Context, h http.Header) error {
	token, err := bearer(h)
	if err != nil {
		return err
	}
	t, id, err := parseToken(token)
	if err != nil {
		return err
	}
	key, err := v.keys.key(ctx, id)
	if err != nil {
		return err
	}
	var c claims
	// The bare public key is used, so that nothing in the token's header, such as a
	// key or the address of one, has an effect.
	if err := t.Claims(key.Key, &c); err != nil {
		return errors.New("the token's signature or its claims are not valid")
	}
	return v.judge(&c, time.Now())
}

// bearer returns the only bearer token of a request.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", errors.New("there is no Authorization header")
	case len(values) > 1:
		// A proxy may have examined another one than this endpoint would.
		return "", errors.New("there are several Authorization headers")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", errors.New("the Authorization header has no bearer token")
	}
	if token == "" || len(token) > maxToken {
		return "", fmt.Errorf("the bearer token has %d bytes", len(token))
	}
	return token, nil
}

// parseToken parses a token without verifying it. It returns the token and the ID of
// the key that the token names.
func parseToken(token string) (*jwt.JSONWebToken, string, error) {
	if strings.HasSuffix(token, signatureRemoved) {
		// Anyone can write that: it proves nothing by itself.
		return nil, "", errors.New("the platform removed the token's signature, so it cannot be verified here: " +
			"if the service requires authentication, and only then, set Insecure")
	}
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, "", errors.New("the bearer token is not a JWT signed with RS256 or ES256")
	}
	if len(t.Headers) != 1 || t.Headers[0].KeyID == "" || t.Headers[0].JSONWebKey != nil {
		return nil, "", errors.New("the token's header must identify the key by its ID only")
	}
	return t, t.Headers[0].KeyID, nil
}

// judge checks the claims of a token with a valid signature.
func (v *verifier) judge(c *claims, now time.Time) error {
	if !slices.Contains(issuers, c.Issuer) {
		return errors.New("the token has another issuer")
	}
	if len(c.Audience) == 0 {
		return errors.New("the token has no audience")
	}
	// Another of the token's audiences may have passed it on (OpenID Connect Core,
	// 3.1.3.7, rule 3).
	for _, a := range c.Audience {
		if !slices.Contains(v.audiences, a) {
			return errors.New("the token is for another audience")
		}
	}
	if c.Expiry == nil || c.IssuedAt == nil {
		return errors.New("the token does not say when it was issued and when it expires")
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Time: now}, v.skew); err != nil {
		return errors.New("the token has expired or is not valid yet")
	}
	if c.Email == "" || !c.EmailVerified || !slices.Contains(v.emails, c.Email) {
		return errForbidden
	}
	return nil
}
