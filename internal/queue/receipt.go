package queue

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// receiptSize is the length of a receipt: two numbers in hexadecimal, where the
// message is and which of its deliveries it was.
const receiptSize = 32

func appendReceipt(b []byte, place, delivery uint64) []byte {
	var raw [receiptSize / 2]byte
	binary.BigEndian.PutUint64(raw[:8], place)
	binary.BigEndian.PutUint64(raw[8:], delivery)
	return hex.AppendEncode(b, raw[:])
}

func parseReceipt(s string) (place, delivery uint64, ok bool) {
	if len(s) != receiptSize {
		return 0, 0, false
	}
	for i := range receiptSize {
		var d byte
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c && c <= 'f':
			d = c - 'a' + 10
		default:
			return 0, 0, false
		}
		if i < receiptSize/2 {
			place = place<<4 | uint64(d)
		} else {
			delivery = delivery<<4 | uint64(d)
		}
	}
	return place, delivery, true
}

// idSize is the length of a message ID: a random UUID.
const idSize = 36

func appendID(b []byte) []byte {
	var raw [16]byte
	// These need be unique, not secret.
	binary.BigEndian.PutUint64(raw[:8], rand.Uint64())
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	b = append(hex.AppendEncode(b, raw[:4]), '-')
	b = append(hex.AppendEncode(b, raw[4:6]), '-')
	b = append(hex.AppendEncode(b, raw[6:8]), '-')
	b = append(hex.AppendEncode(b, raw[8:10]), '-')
	return hex.AppendEncode(b, raw[10:])
}

// fillIDs gives an ID to each message that has none.
func fillIDs(ms []Message) {
	n := 0
	for i := range ms {
		if ms[i].ID == "" {
			n++
		}
	}
	if n == 0 {
		return
	}
	b := make([]byte, 0, n*idSize)
	for range n {
		b = appendID(b)
	}
	all := string(b)
	for i := range ms {
		if ms[i].ID == "" {
			ms[i].ID, all = all[:idSize], all[idSize:]
		}
	}
}
