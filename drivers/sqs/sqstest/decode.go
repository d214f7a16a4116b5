package sqstest

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a request's values. SQS's own requests nest five
// deep.
const maxDepth = 64

// decode reads the one object that a request is. An empty body is an empty
// object. Text that is not UTF-8 is read, for SQS's own checks to refuse; of a
// name that comes twice the last one counts.
func decode(body []byte, req request) *apiError {
	if len(body) == 0 {
		return nil
	}
	err := checkDepth(body)
	if err == nil {
		err = json.Unmarshal(body, req, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	}
	if err != nil {
		return fault(codeSerialization, "The request is not the JSON that was expected: %v", err)
	}
	return nil
}

// checkDepth refuses values that nest deeper than maxDepth. A body with fewer
// brackets, as requests have, is not looked at twice.
func checkDepth(body []byte) error {
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= maxDepth {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			return nil //nolint:nilerr // Unmarshal reports it, or it is the end
		}
		if d.StackDepth() > maxDepth {
			return errors.New("values nest too deep")
		}
	}
}

// A checkedText is a string that SQS checks character by character. Nil is an absent or
// null string.
type checkedText []byte

// UnmarshalJSONFrom implements json.UnmarshalerFrom. Text that is not UTF-8, such
// as a lone surrogate, gets a byte that is not UTF-8, because SQS would accept the
// U+FFFD that it is replaced by.
func (t *checkedText) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch raw.Kind() {
	case 'n':
		*t = nil
		return nil
	case '"':
	default:
		return errors.New("a string was expected")
	}
	out, err := jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw)
	if err != nil {
		out = append(out, 0xFF)
	}
	*t = out
	return nil
}

// attributes are a message's attributes, sorted by name, which is the order of the
// MD5.
type attributes []attribute

// UnmarshalJSONFrom implements json.UnmarshalerFrom. Of a name that comes twice
// the last one counts, as in any JSON object.
func (as *attributes) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*as = nil
	switch start, err := d.ReadToken(); {
	case err != nil:
		return err
	case start.Kind() == 'n':
		return nil
	case start.Kind() != '{':
		return errors.New("an object was expected")
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		a := attribute{name: name.String()}
		var w struct {
			DataType                           string
			StringValue                        checkedText
			BinaryValue                        []byte
			StringListValues, BinaryListValues []jsontext.Value
		}
		if err := json.UnmarshalDecode(d, &w); err != nil {
			return err
		}
		a.dataType, a.binary = w.DataType, isType(w.DataType, "Binary")
		a.listed = len(w.StringListValues)+len(w.BinaryListValues) > 0
		a.hasText, a.hasBytes = w.StringValue != nil, w.BinaryValue != nil
		if a.value = w.StringValue; a.hasBytes {
			a.value = w.BinaryValue
		}
		*as = append(*as, a)
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	slices.SortStableFunc(*as, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(*as); i++ {
		if (*as)[i].name == (*as)[i-1].name {
			*as = slices.Delete(*as, i-1, i)
			i--
		}
	}
	return nil
}
