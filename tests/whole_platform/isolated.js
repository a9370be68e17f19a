// Loaded into Node before jsii: no socket opens, and the clock stands elsewhere.
'use strict';
const dns = require('dns');
const net = require('net');

const refuse = () => { throw new Error('the network is blocked'); };
net.Socket.prototype.connect = refuse;
dns.lookup = refuse;
globalThis.fetch = refuse;

const shift = Number(process.env.CLOCK_SHIFT_SECONDS || 0) * 1000;
const ReallyDate = Date;
globalThis.Date = class extends ReallyDate {
  constructor(...given) {
    if (given.length === 0) { super(ReallyDate.now() + shift); } else { super(...given); }
  }
  static now() { return ReallyDate.now() + shift; }
};
