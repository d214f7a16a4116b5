package claimcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
)

// The attributes that mark a message as a pointer; their value is the size of
// the body in bytes. From SQSExtendedClientConstants and
// AmazonSQSExtendedClientUtil of awslabs/amazon-sqs-java-extended-client-lib.
const (
	SizeAttribute       = "ExtendedPayloadSize"
	LegacySizeAttribute = "SQSLargePayloadSize"
)

// A Format is how a pointer is written, and with it where it leads.
type Format uint8

// The formats.
const (
	// S3 is the Amazon SQS Extended Client Library's, for S3 and what speaks its
	// protocol.
	S3 Format = iota
	// GCS is for Cloud Storage.
	GCS
	// Other is for any other bucket.
	Other
)

// String returns "s3", "gcs" or "other".
func (f Format) String() string {
	switch f {
	case S3:
		return "s3"
	case GCS:
		return "gcs"
	case Other:
		return "other"
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// maxKey is S3's and Cloud Storage's longest key.
const maxKey = 1024

// class is a kind of pointer as it stands in a body.
type class struct {
	name        string
	format      Format
	bucket, key string // the names of its fields
}

var (
	s3Class     = class{"software.amazon.payloadoffloading.PayloadS3Pointer", S3, "s3BucketName", "s3Key"}
	legacyClass = class{"com.amazon.sqs.javamessaging.MessageS3Pointer", S3, "s3BucketName", "s3Key"}
	gcsClass    = class{"sluice.claimcheck.GCSPointer", GCS, "gcsBucketName", "gcsKey"}
	otherClass  = class{"sluice.claimcheck.BlobPointer", Other, "bucket", "key"}
)

func classNamed(name string) (*class, bool) {
	for _, c := range []*class{&s3Class, &legacyClass, &gcsClass, &otherClass} {
		if c.name == name {
			return c, true
		}
	}
	return nil, false
}

func classOf(f Format, legacy bool) *class {
	switch {
	case f == GCS:
		return &gcsClass
	case f == Other:
		return &otherClass
	case legacy:
		return &legacyClass
	}
	return &s3Class
}

// A pointer says where a body is.
type pointer struct {
	class       *class
	bucket, key string
}

func (p *pointer) String() string { return fmt.Sprintf("bucket %q, key %q", p.bucket, p.key) }

// marshal writes the pointer as Jackson does for the Extended Client: no spaces,
// and no more escapes than JSON needs.
func (p *pointer) marshal() []byte {
	var b bytes.Buffer
	text := func(before, s string) {
		b.WriteString(before)
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)         // a string cannot fail
		b.Truncate(b.Len() - 1) // the newline that Encode adds
	}
	text("[", p.class.name)
	text(",{", p.class.bucket)
	text(":", p.bucket)
	text(",", p.class.key)
	text(":", p.key)
	b.WriteString("}]")
	return b.Bytes()
}

// parse reads a pointer, whoever has written it.
func parse(body []byte) (*pointer, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, errors.New("it is not a JSON array")
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("it has %d elements: a pointer has a class and an object", len(parts))
	}
	var name string
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return nil, errors.New("its first element is no text: it is to be the pointer's class")
	}
	c, ok := classNamed(name)
	if !ok {
		return nil, fmt.Errorf("its class %q is unknown", cut(name))
	}
	// A map, since a struct's fields are found whatever their case, and what is
	// checked here must be what another reader of the message sees.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(parts[1], &fields); err != nil {
		return nil, errors.New("its second element is no object")
	}
	p := &pointer{class: c}
	for _, f := range []struct {
		name string
		to   *string
	}{{c.bucket, &p.bucket}, {c.key, &p.key}} {
		if err := json.Unmarshal(fields[f.name], f.to); err != nil || *f.to == "" {
			return nil, fmt.Errorf("it has no text %s", f.name)
		}
	}
	if len(p.key) > maxKey {
		return nil, fmt.Errorf("its %s has %d bytes: the limit is %d", c.key, len(p.key), maxKey)
	}
	return p, nil
}

// cut bounds what an error says of a text that anyone may have sent.
func cut(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Claimed reports whether a message's body is a pointer: whether the message has
// one of the attributes that say so.
func Claimed(m *handler.Message) bool {
	if len(m.Attributes) == 0 {
		return false
	}
	if _, ok := m.Attributes[SizeAttribute]; ok {
		return true
	}
	_, ok := m.Attributes[LegacySizeAttribute]
	return ok
}
