package protocol

import "encoding/binary"

// A parser parses JSON of objects, lists and strings. It fails on any other value,
// and on text that is not valid JSON.
type parser struct {
	input  []byte
	at     int
	failed bool
}

func (p *parser) fail() { p.failed = true }

// finish reports whether all of the text was parsed without failure.
func (p *parser) finish() bool {
	p.space()
	return !p.failed && p.at == len(p.input)
}

func (p *parser) space() {
	for p.at < len(p.input) {
		switch p.input[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// is skips white space and c, if it is next.
func (p *parser) is(c byte) bool {
	if p.at < len(p.input) && p.input[p.at] == c {
		p.at++
		return true
	}
	p.space()
	if p.at < len(p.input) && p.input[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) must(c byte) {
	if !p.is(c) {
		p.fail()
	}
}

// object parses an object. It calls value for each key, to parse the key's value.
// It fails on a key with an escape.
func (p *parser) object(value func(key []byte)) {
	if p.must('{'); p.is('}') {
		return
	}
	for !p.failed {
		key, escaped := p.quoted()
		if p.must(':'); escaped || p.failed {
			p.fail()
			return
		}
		value(key)
		if !p.is(',') {
			p.must('}')
			return
		}
	}
}

// list parses a list. It calls item for each item, to parse it.
func (p *parser) list(item func()) {
	if p.must('['); p.is(']') {
		return
	}
	for !p.failed {
		item()
		if !p.is(',') {
			p.must(']')
			return
		}
	}
}

// quoted parses a string. It returns the text between the quotes, and whether it has
// escapes. Escapes are not checked.
func (p *parser) quoted() (text []byte, escaped bool) {
	if p.must('"'); p.failed {
		return nil, false
	}
	begin := p.at
	for i := begin; i < len(p.input); i++ {
		for i+8 <= len(p.input) && !special(binary.LittleEndian.Uint64(p.input[i:])) {
			i += 8
		}
		if i == len(p.input) {
			break
		}
		switch c := p.input[i]; c {
		case '"':
			p.at = i + 1
			return p.input[begin:i], escaped
		case '\\':
			escaped = true
			i++ // the next may be a quote
		default:
			if c < ' ' {
				p.fail()
				return nil, false
			}
		}
	}
	p.fail()
	return nil, false
}

// special reports whether one of eight bytes is a quote, a backslash or a control
// character. See https://graphics.stanford.edu/~seander/bithacks.html, "Determine if a
// word has a byte less than n".
func special(eight uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^(ones*'"'), eight^(ones*'\\')
	return ((eight-ones*' ')&^eight|(quote-ones)&^quote|(backslash-ones)&^backslash)&tops != 0
}
