package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// An Origin is the source of a value. The zero Origin is unknown.
type Origin struct {
	// File is the file's name as it was given, and Line and Column the place in
	// it, from 1. Zero if the origin is not a file.
	File         string
	Line, Column int
	// Variable is the environment variable, if the origin is one.
	Variable string
	// Default reports whether the value is the default.
	Default bool
}

// String returns "file:line:column", "$VARIABLE", "default" or "".
func (o Origin) String() string {
	switch {
	case o.Variable != "":
		return "$" + o.Variable
	case o.Default:
		return "default"
	case o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	default:
		return o.File
	}
}

// A Value is one value of the effective configuration.
type Value struct {
	// Path is the key, such as "queues.orders.dead_letter.max_attempts".
	Path string
	// Text is the value as it would be written, with secrets replaced.
	Text string
	// Origin is its source.
	Origin Origin
}

// secret is what stands for a secret. It is [url.URL.Redacted]'s word.
const secret = "xxxxx"

// secretName matches names of query parameters whose values are secrets.
var secretName = regexp.MustCompile(`(?i)pass(word|wd|phrase)?$|secret|token|credential|signature|^sig$|(api|access|account|private|shared)[_-]?key$|^key$`)

// Redact returns text with the secrets of a URL in it replaced: its password, and
// the values of parameters that are called like secrets. Text that is not a URL is
// returned unchanged. Text that looks like a URL with a password but cannot be
// parsed is replaced entirely.
func Redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if strings.Contains(text, "@") || strings.Contains(text, "?") {
			return secret
		}
		return text
	}
	changed := false
	if u.User != nil {
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), secret)
			changed = true
		}
	}
	// The query is changed in place, to keep its order and its escapes.
	params := strings.Split(u.RawQuery, "&")
	for i, p := range params {
		name, value, has := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); err == nil && has && value != "" && secretName.MatchString(plain) {
			params[i] = name + "=" + secret
			changed = true
		}
	}
	if !changed {
		return text
	}
	u.RawQuery = strings.Join(params, "&")
	return u.String()
}
