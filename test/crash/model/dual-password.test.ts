import { describeModel } from './suite.ts';

describeModel('dual-password');
