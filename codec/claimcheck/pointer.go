package claimcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// The attributes that mark a message as a pointer; their value is the size of
// the body in bytes. From SQSExtendedClientConstants and
// AmazonSQSExtendedClientUtil of awslabs/amazon-sqs-java-extended-client-lib.
const (
	sizeAttribute       = attribute.ClaimSize
	legacySizeAttribute = attribute.LegacyClaimSize
)

// A Format is the format of a pointer, which implies the kind of its bucket.
type Format uint8

// The formats.
const (
	// S3 is the Amazon SQS Extended Client Library's, for S3 and compatible stores.
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

// A class is a kind of pointer in a body.
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

// A pointer identifies a body in a bucket.
type pointer struct {
	class       *class
	bucket, key string
}

func (p *pointer) String() string { return fmt.Sprintf("bucket %q, key %q", p.bucket, p.key) }

// marshal encodes the pointer like Jackson for the Extended Client: without spaces,
// and with no more escapes than JSON needs.
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

// parse parses a pointer of any class.
func parse(body []byte) (*pointer, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, errors.New("it is not a JSON array")
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("it has %d elements, not a class and an object", len(parts))
	}
	var name string
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return nil, errors.New("its first element is not a string with the pointer's class")
	}
	c, ok := classNamed(name)
	if !ok {
		return nil, fmt.Errorf("its class %q is unknown", cut(name))
	}
	// A map, since decoding into a struct ignores the case of names, and this check
	// must see the same fields as other readers of the message.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(parts[1], &fields); err != nil {
		return nil, errors.New("its second element is not an object")
	}
	p := &pointer{class: c}
	for _, f := range []struct {
		name string
		to   *string
	}{{c.bucket, &p.bucket}, {c.key, &p.key}} {
		if err := json.Unmarshal(fields[f.name], f.to); err != nil || *f.to == "" {
			return nil, fmt.Errorf("it has no string %s", f.name)
		}
	}
	if len(p.key) > maxKey {
		return nil, fmt.Errorf("its %s has %d bytes; the limit is %d", c.key, len(p.key), maxKey)
	}
	return p, nil
}

// cut bounds the length of a sender's text in an error.
func cut(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Claimed reports whether a message is a pointer, by its attributes.
func Claimed(m *handler.Message) bool {
	if len(m.Attributes) == 0 {
		return false
	}
	if _, ok := m.Attributes[sizeAttribute]; ok {
		return true
	}
	_, ok := m.Attributes[legacySizeAttribute]
	return ok
}
