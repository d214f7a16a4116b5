// Package snstest stands for Amazon SNS on the loopback interface, in tests of the
// endpoints that SNS posts to.
package snstest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Topic is the ARN of the topic that documents are of.
const Topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"

// A Server signs documents, and serves the certificate at /good.pem, bad ones beside it,
// and the confirmation of subscriptions at /confirm.
type Server struct {
	*httptest.Server
	Roots     *x509.CertPool // of the good certificate
	Down      atomic.Bool    // whether it answers 503
	Fetched   atomic.Int64   // files that it has served
	Confirmed atomic.Int64

	t     testing.TB
	key   *rsa.PrivateKey
	files map[string][]byte
}

// Start starts a server, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, Roots: x509.NewCertPool(), files: map[string][]byte{}}
	rootKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	s.Roots.AddCert(parsed)
	add := func(file, name string, until time.Time, parent *x509.Certificate, by *rsa.PrivateKey) {
		c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &s.key.PublicKey, by)
		require.NoError(t, err)
		s.files[file] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	add("/good.pem", "sns.amazonaws.com", time.Now().Add(time.Hour), root, rootKey)
	add("/expired.pem", "sns.amazonaws.com", time.Now().Add(-time.Hour), root, rootKey)
	add("/name.pem", "evil.example.com", time.Now().Add(time.Hour), root, rootKey)
	add("/self.pem", "sns.amazonaws.com", time.Now().Add(time.Hour), nil, s.key)
	s.files["/page.pem"] = []byte("<html>Bad gateway</html>")
	s.files["/empty.pem"] = nil
	good := s.files["/good.pem"]
	s.files["/cut.pem"] = good[:len(good)/2]
	s.files["/cut chain.pem"] = append(good[:len(good):len(good)], good[:len(good)/2]...)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	switch body, ok := s.files[r.URL.Path]; {
	case s.Down.Load():
		http.Error(w, "down", http.StatusServiceUnavailable)
	case ok:
		s.Fetched.Add(1)
		_, _ = w.Write(body)
	case r.URL.Path == "/confirm":
		s.Confirmed.Add(1)
	case r.URL.Path == "/redirect.pem":
		http.Redirect(w, r, "/good.pem", http.StatusFound)
	default:
		http.Error(w, "no", http.StatusServiceUnavailable)
	}
}

// Is reports whether a host is the server's.
func (s *Server) Is(host string) bool { return "https://"+host == s.URL }

// Document returns a document of a type, as AWS's "HTTP/HTTPS notification JSON format"
// has it, without a signature.
func (s *Server) Document(kind string) map[string]any {
	d := map[string]any{
		"Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": Topic, "Message": "Hello\nworld!",
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "2", "SigningCertURL": s.URL + "/good.pem",
	}
	if kind == "Notification" {
		d["Subject"] = "My First Message"
	} else {
		d["Token"], d["SubscribeURL"] = "2336412f37fb", s.URL+"/confirm"
	}
	return d
}

// Sign signs a document, by its SignatureVersion, and returns it.
func (s *Server) Sign(d map[string]any) map[string]any {
	var text strings.Builder
	for _, name := range []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
		if v, ok := d[name].(string); ok {
			text.WriteString(name + "\n" + v + "\n")
		}
	}
	hash := crypto.SHA256
	sum := sha256.Sum256([]byte(text.String()))
	digest := sum[:]
	if d["SignatureVersion"] == "1" {
		sum := sha1.Sum([]byte(text.String()))
		hash, digest = crypto.SHA1, sum[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, digest)
	require.NoError(s.t, err)
	d["Signature"] = base64.StdEncoding.EncodeToString(signature)
	return d
}
