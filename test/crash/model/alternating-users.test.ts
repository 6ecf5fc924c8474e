import { describeModel } from './suite.ts';

describeModel('alternating-users');
