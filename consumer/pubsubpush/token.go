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

// signatureRemoved is what Cloud Run and Cloud Run functions put in place of the
// signature of some tokens that they have verified, lest the program use them
// elsewhere (Cloud Run's troubleshooting page, "Identity token signature redacted
// by Google").
const signatureRemoved = ".SIGNATURE_REMOVED_BY_GOOGLE"

// maxToken bounds a token: Google's have about 1,200 bytes.
const maxToken = 8 << 10

var (
	// issuers are how Google names itself in its ID tokens.
	issuers = []string{"https://accounts.google.com", "accounts.google.com"}
	// algorithms are all that a token may be signed with. "none" and the
	// symmetric ones, for which a public key would do as the secret, are not.
	algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
)

// errForbidden is for a sound token of somebody who may not push.
var errForbidden = errors.New("the token is not of a service account that may push")

// A verifier judges bearer tokens.
type verifier struct {
	keys      *keySet
	audiences []string
	emails    []string
	skew      time.Duration
}

// claims are what a token says.
type claims struct {
	jwt.Claims
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
}

// verify returns why a request may not push: errKeys where that cannot be told,
// errForbidden where it is somebody else's.
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
	// The key is the bare public one, so that nothing in the token's header, such
	// as a key or the address of one, has a say in it.
	if err := t.Claims(key.Key, &c); err != nil {
		return errors.New("the token's signature or its claims are not valid")
	}
	return v.judge(&c, time.Now())
}

// bearer returns the one bearer token of a request.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", errors.New("there is no Authorization header")
	case len(values) > 1:
		// Which of them was meant for us, and which one did a proxy look at?
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

// parseToken reads a token, without believing it, and the ID of the key that it
// says it is signed with.
func parseToken(token string) (*jwt.JSONWebToken, string, error) {
	if strings.HasSuffix(token, signatureRemoved) {
		// Anybody can write that: it proves nothing by itself.
		return nil, "", errors.New("the platform took the token's signature away, so that it cannot be verified here: " +
			"if the service requires authentication, and only then, set Insecure")
	}
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, "", errors.New("the bearer token is no JWT signed with RS256 or ES256")
	}
	if len(t.Headers) != 1 || t.Headers[0].KeyID == "" || t.Headers[0].JSONWebKey != nil {
		return nil, "", errors.New("the token's header does not name its key by an ID alone")
	}
	return t, t.Headers[0].KeyID, nil
}

// judge looks at what a token with a valid signature says.
func (v *verifier) judge(c *claims, now time.Time) error {
	if !slices.Contains(issuers, c.Issuer) {
		return errors.New("the token is of another issuer")
	}
	if len(c.Audience) == 0 {
		return errors.New("the token is for no audience")
	}
	// One that is for others as well may have been handed on by them (OpenID
	// Connect Core, 3.1.3.7, rule 3).
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
