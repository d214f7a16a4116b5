package sns

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" // SNS signature version 1, which has to be asked for
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
)

// maxCertificateBytes limits how many bytes of a signing certificate's file are
// read.
const maxCertificateBytes = 64 << 10

// maxCertificates bounds the cache. SNS has one certificate per region and
// replaces it about once a year.
const maxCertificates = 32

// maxSkew is how far SNS's clock may be ahead of the local one.
const maxSkew = 5 * time.Minute

// ErrUnreachable is in the error of a document that could not be checked, or of a
// subscription that could not be confirmed, because SNS was not reached. It proves
// nothing about the document.
var ErrUnreachable = errors.New("SNS was not reached")

// A Verifier checks that SNS sent a document for one of the declared topics, confirms
// subscriptions, and caches the certificates. Make one with [NewVerifier]. Its methods
// may be called concurrently.
type Verifier struct {
	topics []string
	trust  Trust

	mu      sync.Mutex // never held during a request
	fetched map[string]*x509.Certificate
}

// NewVerifier returns a verifier of documents of the topics with the given ARNs, at
// least one. The error lists all faults.
func NewVerifier(topicARNs []string, trust Trust) (*Verifier, error) {
	topics, undeclared := Topics(topicARNs)
	if err := errors.Join(undeclared, trust.complete()); err != nil {
		return nil, err
	}
	return &Verifier{topics: topics, trust: trust, fetched: map[string]*x509.Certificate{}}, nil
}

// Check returns an error unless SNS sent d, for a declared topic, not too long ago. The
// error has [ErrUnreachable] in it if SNS could not be asked. The cheap checks come
// first, so that a forger can't make this program send requests.
func (v *Verifier) Check(ctx context.Context, d *Document) error {
	switch d.Type {
	case TypeNotification, TypeSubscription, TypeUnsubscription:
	default:
		return fmt.Errorf("the type %q is not known", d.Type)
	}
	if !slices.Contains(v.topics, d.TopicARN) {
		return fmt.Errorf("the topic %q is not declared", d.TopicARN)
	}
	at, err := time.Parse(time.RFC3339Nano, d.Timestamp)
	if err != nil {
		return errors.New("the timestamp can't be read")
	}
	if age := time.Since(at); age > v.trust.MaxAge || age < -maxSkew {
		return fmt.Errorf("the notification is %v old, and %v is allowed (MaxAge)", age.Round(time.Second), v.trust.MaxAge)
	}
	if d.Message == nil || d.MessageID == "" {
		return errors.New("Message or MessageId is missing")
	}
	// On its own goroutine, since the client that fetches the certificate is the user's.
	if failed := invoke.DoApart(func() { err = v.verify(ctx, d) }); failed != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, failed)
	}
	return err
}

// Confirm confirms the subscription of a document that [Verifier.Check] has accepted.
// It visits only URLs of SNS, and follows no redirect. The error has [ErrUnreachable]
// in it if SNS did not answer with 200.
func (v *Verifier) Confirm(ctx context.Context, d *Document) error {
	u, err := v.url(d.SubscribeURL)
	if err != nil {
		return fmt.Errorf("SubscribeURL: %w", err)
	}
	if failed := invoke.DoApart(func() { _, err = v.get(ctx, u.String()) }); failed != nil || err != nil {
		// The error would have the URL in it, and so the token.
		return fmt.Errorf("%w: confirm the subscription to %s", ErrUnreachable, d.TopicARN)
	}
	return nil
}

// verify returns an error unless d is signed by SNS.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func (v *Verifier) verify(ctx context.Context, d *Document) error {
	var (
		hash   crypto.Hash
		digest []byte
		text   = []byte(signedText(d))
	)
	switch {
	case d.SignatureVersion == "2":
		sum := sha256.Sum256(text)
		hash, digest = crypto.SHA256, sum[:]
	case d.SignatureVersion == "1" && v.trust.AllowSHA1:
		sum := sha1.Sum(text)
		hash, digest = crypto.SHA1, sum[:]
	case d.SignatureVersion == "1":
		return errors.New("signature version 1 (SHA1) is not allowed: set the topic's SignatureVersion to 2, or Config.AllowSHA1")
	default:
		return fmt.Errorf("unknown signature version %q", d.SignatureVersion)
	}
	signature, err := base64.StdEncoding.DecodeString(d.Signature)
	if err != nil || len(signature) == 0 {
		return errors.New("the signature is empty or not base64")
	}
	u, err := v.url(d.SigningCertURL)
	if err != nil {
		return fmt.Errorf("SigningCertURL: %w", err)
	}
	if !strings.HasSuffix(u.Path, ".pem") || u.RawQuery != "" {
		return errors.New("SigningCertURL: its path does not end in .pem")
	}
	cert, err := v.certificate(ctx, u.String())
	if err != nil {
		return err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("the signing certificate's key is not RSA")
	}
	if err := rsa.VerifyPKCS1v15(key, hash, digest, signature); err != nil {
		return errors.New("the signature does not match: SNS did not send this message")
	}
	return nil
}

// signedText returns the text that SNS signs: the names and values of certain
// fields, in the order of their names.
func signedText(d *Document) string {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	message := ""
	if d.Message != nil {
		message = *d.Message
	}
	add("Message", message)
	add("MessageId", d.MessageID)
	if d.Type == TypeNotification {
		if d.Subject != nil {
			add("Subject", *d.Subject)
		}
	} else {
		add("SubscribeURL", d.SubscribeURL)
	}
	add("Timestamp", d.Timestamp)
	if d.Type != TypeNotification {
		add("Token", d.Token)
	}
	add("TopicArn", d.TopicARN)
	add("Type", d.Type)
	return b.String()
}

// url parses a URL that this program is about to visit. It must be one of SNS's.
func (v *Verifier) url(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "https":
		return nil, fmt.Errorf("its scheme is %q, not https", u.Scheme)
	case u.User != nil || u.Opaque != "" || u.Fragment != "":
		return nil, errors.New("it has a user or a fragment")
	case !v.trust.Host(u.Host):
		return nil, fmt.Errorf("its host is %q, not one of SNS's", u.Host)
	}
	return u, nil
}

func (v *Verifier) certificate(ctx context.Context, at string) (*x509.Certificate, error) {
	v.mu.Lock()
	cert := v.fetched[at]
	v.mu.Unlock()
	if cert != nil && time.Now().Before(cert.NotAfter) {
		return cert, nil
	}
	body, err := v.get(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	leaf, others, err := readCertificates(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if err = v.check(leaf, others); err != nil {
		return nil, fmt.Errorf("the signing certificate: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.fetched) >= maxCertificates {
		clear(v.fetched)
	}
	v.fetched[at] = leaf
	return leaf, nil
}

// readCertificates returns the signing certificate and those after it. It returns
// an error if the file is not a certificate or is truncated, such as a gateway's
// error page. The next request may succeed, as after a lost answer.
func readCertificates(body []byte) (leaf *x509.Certificate, others *x509.CertPool, err error) {
	others = x509.NewCertPool()
	block, rest := pem.Decode(body)
	for ; block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, err
		}
		if leaf == nil {
			leaf = c
		} else {
			others.AddCert(c)
		}
	}
	switch {
	case leaf == nil:
		return nil, nil, errors.New("the file has no certificate")
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return nil, nil, errors.New("the file is truncated")
	}
	return leaf, others, nil
}

// check returns an error unless SNS signs with the certificate.
func (v *Verifier) check(leaf *x509.Certificate, others *x509.CertPool) error {
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("it is valid from %v to %v only", leaf.NotBefore, leaf.NotAfter)
	}
	if err := leaf.VerifyHostname(v.trust.CertName); err != nil {
		return err
	}
	if v.trust.Roots != nil {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: v.trust.Roots, Intermediates: others, DNSName: v.trust.CertName,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return err
		}
	}
	return nil
}

// get returns the body that SNS serves at a URL. Any status but 200 is an error: a
// redirect could lead anywhere.
func (v *Verifier) get(ctx context.Context, at string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	response, err := v.trust.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server responded with %s", response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxCertificateBytes))
}
