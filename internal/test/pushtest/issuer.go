package pushtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Google is how the issuer of the service's tokens names itself.
const Google = "https://accounts.google.com"

// A Key is a key pair of an issuer.
type Key struct {
	ID        string
	Algorithm jose.SignatureAlgorithm
	Private   crypto.Signer
}

// NewKey makes a key for RS256 or ES256.
func NewKey(id string, alg jose.SignatureAlgorithm) (k Key, err error) {
	k = Key{ID: id, Algorithm: alg}
	switch alg {
	case jose.RS256:
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = fmt.Errorf("no key for %s", alg)
	}
	return k, err
}

// Public is the key as a JWK set has it.
func (k Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

// Sign signs claims.
func (k Key) Sign(claims any) (string, error) {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.Algorithm, Key: jose.JSONWebKey{Key: k.Private, KeyID: k.ID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(s).Claims(claims).Serialize()
}

// Claims are those of a token of the service for a push to audience by the account
// email. A test changes them as it needs.
func Claims(audience, email string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": Google, "aud": audience, "azp": "113774264463038321964", "sub": "113774264463038321964",
		"email": email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// An Issuer signs tokens as Google does and serves its public keys on the loopback
// interface. Its methods may be called concurrently.
type Issuer struct {
	server *http.Server
	url    string

	mu      sync.Mutex
	keys    []Key // the last one signs
	cache   string
	down    bool
	fetched int
}

// NewIssuer starts an issuer with one key.
func NewIssuer(key Key) (*Issuer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &Issuer{url: "http://" + l.Addr().String() + "/certs", keys: []Key{key}, cache: "public, max-age=3600"}
	i.server = &http.Server{Handler: i, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = i.server.Serve(l) }() // ends with Close
	return i, nil
}

// URL is the address of the keys.
func (i *Issuer) URL() string { return i.url }

// Close stops serving the keys.
func (i *Issuer) Close() error { return i.server.Close() }

// SetKeys replaces the keys; the last one signs.
func (i *Issuer) SetKeys(keys ...Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// SetCache sets the Cache-Control header of the keys.
func (i *Issuer) SetCache(control string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cache = control
}

// SetDown has requests for the keys fail.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Fetched is how often the keys were asked for.
func (i *Issuer) Fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// Key is the key that signs.
func (i *Issuer) Key() Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Token returns a token of the service for a push to audience by the account
// email.
func (i *Issuer) Token(audience, email string) (string, error) {
	return i.Key().Sign(Claims(audience, email))
}

// ServeHTTP serves the keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	i.fetched++
	var set jose.JSONWebKeySet
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	down, cache := i.down, i.cache
	i.mu.Unlock()
	if down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	body, err := json.Marshal(set)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if cache != "" {
		w.Header().Set("Cache-Control", cache)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client has gone
}
