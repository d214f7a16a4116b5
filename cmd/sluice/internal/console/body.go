package console

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxHex is how much of a body that is not text is shown, in bytes.
const maxHex = 4 << 10

// A body is a message's body as a page shows it.
type body struct {
	// Kind says what it is: "JSON", "XML", "text", "binary" or "empty".
	Kind string
	Text string
}

// newBody makes a body readable. whole is false if b is the beginning of the body only.
func newBody(b []byte, whole bool) body {
	switch {
	case len(b) == 0:
		return body{Kind: "empty"}
	case whole && json.Valid(b):
		var out bytes.Buffer
		if err := json.Indent(&out, b, "", "  "); err == nil {
			return body{"JSON", out.String()}
		}
	case whole && wellFormed(b):
		return body{"XML", string(b)}
	}
	for n := len(b); !whole && n > 0 && n > len(b)-utf8.UTFMax; n-- { // it may end within a character
		if utf8.Valid(b[:n]) {
			b = b[:n]
			break
		}
	}
	if utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
		return body{"text", string(b)}
	}
	return body{"binary", hex.Dump(b[:min(len(b), maxHex)])}
}

// wellFormed reports whether b is XML.
func wellFormed(b []byte) bool {
	if !strings.HasPrefix(strings.TrimSpace(string(b[:min(len(b), 100)])), "<") {
		return false
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	elements := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements > 0
		}
		if err != nil {
			return false
		}
		if _, ok := t.(xml.StartElement); ok {
			elements++
		}
	}
}
