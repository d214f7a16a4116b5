package snspush

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
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/sns"
)

// maxCertificateBytes bounds what is read of a signing certificate's file.
const maxCertificateBytes = 64 << 10

// maxCertificates bounds the cache. SNS has one certificate per region and
// replaces it about once a year.
const maxCertificates = 32

// errUnreachable marks the failure to fetch a certificate, which proves nothing
// about the message.
var errUnreachable = errors.New("the signing certificate can't be fetched")

// A verifier checks signatures and caches the certificates. Its methods may be
// called concurrently.
type verifier struct {
	client *http.Client
	host   func(string) bool
	name   string
	roots  *x509.CertPool
	sha1   bool

	mu      sync.Mutex // never held during a request
	fetched map[string]*x509.Certificate
}

// verify returns an error unless d is signed by SNS.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func (v *verifier) verify(ctx context.Context, d *sns.Document) error {
	var (
		hash   crypto.Hash
		digest []byte
		text   = []byte(signedText(d))
	)
	switch {
	case d.SignatureVersion == "2":
		sum := sha256.Sum256(text)
		hash, digest = crypto.SHA256, sum[:]
	case d.SignatureVersion == "1" && v.sha1:
		sum := sha1.Sum(text)
		hash, digest = crypto.SHA1, sum[:]
	case d.SignatureVersion == "1":
		return errors.New("signature version 1 (SHA1) is not allowed: set the topic's SignatureVersion to 2, or Config.AllowSHA1")
	default:
		return fmt.Errorf("signature version %q is not known", d.SignatureVersion)
	}
	signature, err := base64.StdEncoding.DecodeString(d.Signature)
	if err != nil || len(signature) == 0 {
		return errors.New("the signature is not base64, or empty")
	}
	u, err := v.url(d.SigningCertURL)
	if err != nil {
		return fmt.Errorf("SigningCertURL: %w", err)
	}
	if !strings.HasSuffix(u.Path, ".pem") || u.RawQuery != "" {
		return errors.New("SigningCertURL: its path is not that of a .pem file")
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
		return errors.New("the signature is not SNS's")
	}
	return nil
}

// signedText returns the text that SNS signs: the names and values of certain
// fields, in the order of their names.
func signedText(d *sns.Document) string {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	message := ""
	if d.Message != nil {
		message = *d.Message
	}
	add("Message", message)
	add("MessageId", d.MessageID)
	if d.Type == sns.TypeNotification {
		if d.Subject != nil {
			add("Subject", *d.Subject)
		}
	} else {
		add("SubscribeURL", d.SubscribeURL)
	}
	add("Timestamp", d.Timestamp)
	if d.Type != sns.TypeNotification {
		add("Token", d.Token)
	}
	add("TopicArn", d.TopicARN)
	add("Type", d.Type)
	return b.String()
}

// url parses a URL that this program is about to visit. It must be one of SNS's.
func (v *verifier) url(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "https":
		return nil, fmt.Errorf("its scheme is %q, not https", u.Scheme)
	case u.User != nil || u.Opaque != "" || u.Fragment != "":
		return nil, errors.New("it has a user or a fragment")
	case !v.host(u.Host):
		return nil, fmt.Errorf("its host is %q, not one of SNS's", u.Host)
	}
	return u, nil
}

func (v *verifier) certificate(ctx context.Context, at string) (*x509.Certificate, error) {
	v.mu.Lock()
	cert := v.fetched[at]
	v.mu.Unlock()
	if cert != nil && time.Now().Before(cert.NotAfter) {
		return cert, nil
	}
	body, err := v.get(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	leaf, others, err := readCertificates(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
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
		return nil, nil, errors.New("the file is cut off")
	}
	return leaf, others, nil
}

// check returns an error unless SNS signs with the certificate.
func (v *verifier) check(leaf *x509.Certificate, others *x509.CertPool) error {
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("it is valid from %v to %v only", leaf.NotBefore, leaf.NotAfter)
	}
	if err := leaf.VerifyHostname(v.name); err != nil {
		return err
	}
	if v.roots != nil {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: v.roots, Intermediates: others, DNSName: v.name,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return err
		}
	}
	return nil
}

// get returns the body that SNS serves at a URL. Any status but 200 is an error: a
// redirect could lead anywhere.
func (v *verifier) get(ctx context.Context, at string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxCertificateBytes))
}
